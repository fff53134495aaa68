//! The log as JSON, one object a line.
//!
//! Fields of tracing hold no lists, so tracing-subscriber's own format has no arrays.
//! Here the fields named in [`ARRAYS`] are arrays: their text is JSON already, which
//! [`Array`] makes.

use std::fmt::{self, Debug, Display};

use serde::Serialize;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes events as JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonLines;

/// A list as the value of a field whose name is in [`ARRAYS`].
pub(crate) struct Array<'a, T>(pub(crate) &'a [T]);

/// An object that lacks its closing brace.
struct Object(String);

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let mut object = Object("{".to_owned());
        object.add("timestamp", timestamp);
        object.add("level", event.metadata().level().as_str());
        event.record(&mut object);
        writeln!(writer, "{}}}", object.0)
    }
}

impl Object {
    fn add(&mut self, name: &str, value: impl Into<Value>) {
        let name = Value::from(name);
        let comma = if self.0.len() > 1 { "," } else { "" };
        self.0 += &format!("{comma}{name}:{}", value.into());
    }

    fn add_text(&mut self, name: &str, text: &str) {
        let array: Option<Value> =
            if ARRAYS.contains(&name) { serde_json::from_str(text).ok() } else { None };
        self.add(name, array.unwrap_or_else(|| text.into()));
    }
}

impl Visit for Object {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add_text(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add_text(field.name(), &format!("{value:?}"));
    }
}

impl<T: Serialize> Display for Array<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self.0).map_err(|_| fmt::Error)?)
    }
}

/// The fields that hold a list.
const ARRAYS: [&str; 1] = ["addresses"];

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::net::IpAddr;
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `log` writes, without the times.
    fn logged(log: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .event_format(JsonLines)
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let line = text.strip_suffix('\n').expect("a whole line");
        let object: Value = serde_json::from_str(line).unwrap();
        let timestamp = object["timestamp"].as_str().unwrap();
        assert!(timestamp.ends_with('Z') && timestamp.len() >= 20, "{timestamp}");
        line.replace(&format!("\"timestamp\":\"{timestamp}\","), "")
    }

    #[test]
    fn fields_keep_their_types_and_order() {
        let line = logged(|| {
            tracing::warn!(zero = 0_u64, less = -1, half = 0.5, yes = true, text = "a", "done");
        });
        assert_eq!(
            line,
            "{\"level\":\"WARN\",\"message\":\"done\",\"zero\":0,\"less\":-1,\"half\":0.5,\
             \"yes\":true,\"text\":\"a\"}"
        );
    }

    #[test]
    fn texts_are_escaped_and_absent_values_left_out() {
        let line = logged(|| {
            let (none, shown): (Option<&str>, _) = (None, "\"},\n\u{1b}");
            tracing::info!(none, shown, displayed = %shown, "a\nb");
        });
        let object: Value = serde_json::from_str(&line).unwrap();
        let text = "\"},\n\u{1b}";
        assert_eq!(
            object,
            json!({ "level": "INFO", "message": "a\nb", "shown": text, "displayed": text })
        );
        assert!(line.bytes().all(|byte| byte >= b' '), "{line:?}");
    }

    #[test]
    fn a_list_is_an_array_and_what_is_not_json_stays_a_text() {
        let addresses: [IpAddr; 2] = [[127, 0, 0, 1].into(), [0; 16].into()];
        for (list, array) in [(&addresses[..], json!(["127.0.0.1", "::"])), (&[], json!([]))] {
            let line = logged(|| tracing::info!(addresses = %Array(list), "scan"));
            let object: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(object["addresses"], array);
        }
        let line = logged(|| tracing::info!(addresses = "[\"", other = "[1]", "scan"));
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&object["addresses"], &object["other"]), (&json!("[\""), &json!("[1]")));
    }
}
