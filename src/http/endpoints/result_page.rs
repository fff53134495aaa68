//! Pages for browsers without scripts: the result of the page's form, and why there is
//! none. They have no script and ask for nothing.
//!
//! What was typed is in them, so every text goes through [`Escaped`].

use std::fmt::{self, Write as _};
use std::iter;

use futures_util::stream;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};

use super::page::STYLE;
use crate::expect::Comparison;
use crate::http::exchange::content_policy::{Content, confine, content_policy};
use crate::http::exchange::negotiation::media_type;
use crate::http::exchange::problems::Problem;
use crate::http::exchange::reply::{Reply, ReplyBody, growing, uncached};
use crate::limits;
use crate::report::{AddressFacts, Facts, PortReport, Report};
use crate::request::Format;

/// Limits what a browser does with a page without scripts.
pub(super) fn with_policy(mut reply: Reply) -> Reply {
    confine(reply.headers_mut(), content_policy(&Content { style: STYLE, script: None }));
    reply
}

/// The body that shows `report`, the answer to `query`. It is made while it is sent: with
/// details it may have a row for every port.
pub(super) fn body(mut report: Report, query: &str) -> ReplyBody {
    let mut parts = vec![Part::Text(beginning(&report))];
    for address in &mut report.facts.addresses {
        let findings = match &mut address.ports {
            Some(rows) => rows.take(),
            None => address.open_ports.findings().clone(),
        };
        let summary = summary(address);
        if findings.is_empty() {
            parts.push(Part::Text(format!("{summary}</section>\n")));
            continue;
        }
        let rows = findings.into_owned_iter().map(|finding| PortReport::new(&finding));
        parts.push(Part::Text(summary + TABLE));
        parts.push(Part::Rows(Box::new(rows)));
        parts.push(Part::Text("</tbody>\n</table>\n</section>\n".into()));
    }
    parts.push(Part::Text(end(query)));
    let mut parts = parts.into_iter().peekable();
    let first = next_chunk(&mut parts);
    if parts.peek().is_none() {
        return Full::new(first.unwrap_or_default()).boxed_unsync();
    }
    let rest = iter::from_fn(move || next_chunk(&mut parts));
    growing(stream::iter(first.into_iter().chain(rest)))
}

/// The page of a reply that is a problem, in answer to `query`; any other reply as it is.
pub(crate) fn of_problem(mut reply: Reply, query: &str) -> Reply {
    let Some(problem) = reply.extensions_mut().remove::<Problem>() else { return reply };
    let seconds = reply.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let text = problem_page(&problem, seconds, query);
    *reply.body_mut() = Full::new(Bytes::from(text)).boxed_unsync();
    let media_type = HeaderValue::from_static(media_type(Format::Html));
    reply.headers_mut().insert(CONTENT_TYPE, media_type);
    uncached(with_policy(reply))
}

/// What a body is made of.
enum Part {
    Text(String),
    Rows(Box<dyn Iterator<Item = PortReport> + Send>),
}

/// As much of the parts as fits into one chunk; `None` after the last.
fn next_chunk(parts: &mut iter::Peekable<impl Iterator<Item = Part>>) -> Option<Bytes> {
    let mut chunk = String::new();
    while chunk.len() < limits::REPLY_CHUNK
        && let Some(part) = parts.peek_mut()
    {
        let is_over = match part {
            Part::Text(text) => {
                chunk.push_str(text);
                true
            }
            Part::Rows(rows) => match rows.next() {
                Some(row) => {
                    write_row(&mut chunk, &row);
                    false
                }
                None => true,
            },
        };
        if is_over {
            parts.next();
        }
    }
    (!chunk.is_empty()).then(|| chunk.into())
}

/// Everything up to the first address.
fn beginning(report: &Report) -> String {
    let Facts { domain, from_port, to_port, open_ports, left_out, .. } = &report.facts;
    let title = format!("Open ports of {domain}");
    let mut text = head(&title);
    let open = count(open_ports.len(), "open port");
    let addresses = count(report.facts.addresses.len(), "address");
    let seconds = report.effort.elapsed_ms / 1e3;
    text += &format!(
        "<p>{open} among the ports asked for, {from_port} to {to_port}, on {addresses}, \
         after {seconds:.1} s.</p>\n"
    );
    match report.facts.reason {
        None => text += "<p>Every port was scanned.</p>\n",
        Some(reason) => {
            text += &format!(
                "<p><strong>Not everything was scanned</strong>: {}.</p>\n",
                Escaped(reason.name())
            );
        }
    }
    if !left_out.is_empty() {
        text += &format!("<p>Not scanned: {} more.</p>\n", count(left_out.len(), "address"));
    }
    if let Some(comparison) = &report.comparison {
        text += &expected(comparison);
    }
    text
}

/// How the open ports differ from the expected ones.
fn expected(comparison: &Comparison) -> String {
    if comparison.as_expected {
        return "<p>Exactly the expected ports are open.</p>\n".into();
    }
    let mut text = String::from("<p><strong>Not as expected.</strong></p>\n<dl>\n");
    for (name, ports) in [("Unexpected", &comparison.unexpected), ("Missing", &comparison.missing)]
    {
        if !ports.is_empty() {
            let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
            text += &format!("<dt>{name}</dt><dd>{}</dd>\n", ports.join(", "));
        }
    }
    text + "</dl>\n"
}

/// The beginning of the section about an address.
fn summary(address: &AddressFacts) -> String {
    let AddressFacts { closed, filtered, not_scanned, .. } = address;
    let open = address.open_ports.len();
    let mut text = format!(
        "<section>\n<h2>{}</h2>\n<p>{open} open, {closed} closed, {filtered} filtered, \
         {not_scanned} not scanned.</p>\n",
        address.address
    );
    if address.accepts_everything {
        text += "<p>It accepts connections on ports that nobody uses, so its open ports mean \
                 little.</p>\n";
    }
    text
}

fn write_row(text: &mut String, row: &PortReport) {
    let service = row.service.map_or("", |service| service.name);
    let rtt = row.rtt_ms.map(|rtt| format!("{rtt} ms")).unwrap_or_default();
    let (port, state, reason) = (row.port, row.state.name(), row.reason.name());
    writeln!(
        text,
        "<tr><td>{port}</td><td>{state}</td><td>{}</td><td>{reason}</td><td>{rtt}</td></tr>",
        Escaped(service)
    )
    .expect("a text takes all");
}

fn problem_page(problem: &Problem, retry_after: Option<&str>, query: &str) -> String {
    let mut text = head(problem.title());
    text += &format!("<p>{}</p>\n", Escaped(problem.detail()));
    let mut errors = problem.errors().peekable();
    if errors.peek().is_some() {
        text += "<ul>\n";
        for (field, message) in errors {
            text += &format!("<li><code>{}</code> {}</li>\n", Escaped(field), Escaped(message));
        }
        text += "</ul>\n";
    }
    if let Some(seconds) = retry_after {
        text += &format!("<p>Try again in {} s.</p>\n", Escaped(seconds));
    }
    text + &end(query)
}

/// The beginning of a page, down to its heading.
fn head(title: &str) -> String {
    let title = Escaped(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n"
    )
}

/// The end of a page: a link back to the form, with what was typed.
fn end(query: &str) -> String {
    let query = Escaped(query);
    format!("<p><a href=\"/?{query}\">Change the scan</a></p>\n</main>\n</body>\n</html>\n")
}

/// `number` and a noun in its singular or plural.
fn count(number: usize, noun: &str) -> String {
    let ending = match (number, noun.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{number} {noun}{ending}")
}

/// A text as HTML has it, in an element or in a quoted attribute.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| match char {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            char => f.write_char(char),
        })
    }
}

const TABLE: &str = "<table>\n<thead>\n<tr><th scope=\"col\">Port</th><th scope=\"col\">State</th>\
                     <th scope=\"col\">Service</th><th scope=\"col\">Reason</th>\
                     <th scope=\"col\">RTT</th></tr>\n</thead>\n<tbody>\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::exchange::problems;

    #[test]
    fn what_was_typed_is_text_and_no_markup() {
        let typed = "<script>alert(\"1\")</script>&'";
        let escaped = "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;";
        assert_eq!(Escaped(typed).to_string(), escaped);
        for text in [head(typed), end(typed)] {
            assert!(text.contains(escaped) && !text.contains(typed), "{text}");
        }
    }

    #[test]
    fn a_problem_is_shown_with_its_fields() {
        let mut errors = crate::fields::FieldErrors::default();
        errors.add("<b>", "is not a parameter");
        let mut reply = problems::invalid_parameters(errors);
        let problem = reply.extensions_mut().remove::<Problem>().unwrap();
        let text = problem_page(&problem, Some("7"), "domain=a&ports=%3C\"");
        for wanted in [
            "<h1>Invalid parameters</h1>",
            "<li><code>&lt;b&gt;</code> is not a parameter</li>",
            "<p>Try again in 7 s.</p>",
            "href=\"/?domain=a&amp;ports=%3C&quot;\"",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        assert!(!text.contains("<b>"), "{text}");
    }

    #[test]
    fn nouns_have_a_plural() {
        let counted = [(0, "open port"), (1, "open port"), (1, "address"), (2, "address")];
        let counted = counted.map(|(number, noun)| count(number, noun));
        assert_eq!(counted, ["0 open ports", "1 open port", "1 address", "2 addresses"]);
    }
}
