use super::settings::Omitted;
use super::*;
use crate::fields::tests::assert_in_readme;

fn environment(name: &str) -> Option<String> {
    let value = match name {
        "OPEN_PORTS_LISTEN" => "127.0.0.2:2",
        "OPEN_PORTS_GRACE" => "7",
        "OPEN_PORTS_ALLOW" => "private",
        "PORT" => "3",
        _ => return None,
    };
    Some(value.to_owned())
}

fn config(
    flags: &dyn Fn(&str) -> Option<String>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigErrors> {
    Config::try_new(&Sources::new(flags, environment))
}

fn listen(flag: Option<&str>, environment: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let flags = |name: &str| flag.filter(|_| name == "listen").map(str::to_owned);
    let config = config(&flags, environment).unwrap();
    config.listen.iter().map(SocketAddr::to_string).collect()
}

#[test]
fn flags_come_before_the_environment_and_that_before_defaults() {
    let only_port = |name: &str| environment(name).filter(|_| name != "OPEN_PORTS_LISTEN");
    assert_eq!(listen(Some("127.0.0.1:1"), &environment), ["127.0.0.1:1"]);
    assert_eq!(listen(None, &environment), ["127.0.0.2:2"]);
    assert_eq!(listen(None, &only_port), ["[::]:3", "0.0.0.0:3"]);
    assert_eq!(listen(None, &|_| None), ["127.0.0.1:8080"]);
    assert_eq!(config(&|_| None, &environment).unwrap().grace, Duration::from_secs(7));
}

#[test]
fn an_empty_variable_is_not_set() {
    let config = config(&|_| None, &|_| None).unwrap();
    let blank = |_: &str| Some(String::new());
    assert_eq!(self::config(&|_| None, &blank).unwrap(), config);
}

#[test]
fn an_error_names_where_the_value_came_from() {
    let flags = |name: &str| (name == "listen").then(|| "8080".to_owned());
    assert_eq!(
        config(&flags, &|_| None).unwrap_err().to_string(),
        "--listen: \"8080\" is not an address with a port, like 127.0.0.1:8080 or [::]:8080"
    );
    for (variable, value) in [
        ("PORT", "0"),
        ("OPEN_PORTS_GRACE", "-1"),
        ("OPEN_PORTS_GRACE", "3601"),
        ("OPEN_PORTS_MAX_SCANS", "0"),
        ("OPEN_PORTS_MAX_RATE", "many"),
        ("OPEN_PORTS_TIMEOUT_OFFSET", "-0.5"),
        ("OPEN_PORTS_TIMEOUT_OFFSET", "60.1"),
        ("OPEN_PORTS_TIMEOUT_OFFSET", "nan"),
        ("OPEN_PORTS_LOG", "loud"),
        ("OPEN_PORTS_LOG", "3"),
        ("OPEN_PORTS_LOG_FORMAT", "xml"),
        ("OPEN_PORTS_ALLOW", "10.0.0.0/33"),
        ("OPEN_PORTS_DENY", "10.0.0.0/8,,"),
        ("OPEN_PORTS_HOST", "scan.example.com:8080"),
        ("OPEN_PORTS_HOST", "scan.example.com,"),
        ("OPEN_PORTS_HOST", "*"),
    ] {
        let given = |name: &str| (name == variable).then(|| value.to_owned());
        let error = config(&|_| None, &given).unwrap_err();
        let named =
            matches!(&error.0[..], [ConfigError::Invalid { origin, .. }] if origin == variable);
        assert!(named, "{variable}={value}: {error}");
    }
}

#[test]
fn every_bad_setting_is_named_at_once() {
    let flags = |name: &str| match name {
        "listen" => Some("0.0.0.0:1".to_owned()),
        "grace" => Some("-1".to_owned()),
        _ => None,
    };
    let environment = |name: &str| match name {
        "OPEN_PORTS_MAX_SCANS" => Some("0".to_owned()),
        "OPEN_PORTS_LOG" => Some("loud".to_owned()),
        _ => None,
    };
    let error = config(&flags, &environment).unwrap_err().to_string();
    for wrong in
        ["0.0.0.0:1 can be reached", "--grace: \"-1\"", "MAX_SCANS: \"0\"", "LOG: \"loud\""]
    {
        assert!(error.contains(wrong), "{wrong}: {error}");
    }
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn a_listener_that_other_hosts_can_reach_requires_an_allow_list() {
    for (address, local) in [
        ("127.0.0.5:1", true),
        ("[::1]:1", true),
        ("[::ffff:127.0.0.1]:1", true),
        ("0.0.0.0:1", false),
        ("[::]:1", false),
        ("10.0.0.1:1", false),
    ] {
        let listen = |name: &str| (name == "listen").then(|| address.to_owned());
        let allowed = |name: &str| match name {
            "allow" => Some("10.0.0.0/8:22".to_owned()),
            name => listen(name),
        };
        let alone = config(&listen, &|_| None);
        let refused =
            alone.is_err_and(|errors| matches!(errors.0[..], [ConfigError::NoAllowList { .. }]));
        assert_eq!(refused, !local, "{address}");
        assert!(config(&allowed, &|_| None).is_ok(), "{address}");
    }
}

#[test]
fn every_setting_of_the_table_is_read() {
    let without = config(&|_| None, &|_| None);
    for Setting { name, .. } in SETTINGS {
        // A valid value only for a path.
        let flags = |flag: &str| (flag == name).then(|| "\0".to_owned());
        assert_ne!(config(&flags, &|_| None), without, "--{name} is not read");
    }
}

#[test]
fn a_default_is_what_holds_without_the_setting() {
    let without = config(&|_| None, &|_| None);
    for Setting { name, omitted, .. } in SETTINGS {
        if let Omitted::Value(value) = omitted {
            let flags = |flag: &str| (flag == name).then(|| value.to_owned());
            assert_eq!(config(&flags, &|_| None), without, "--{name}");
        }
    }
}

#[test]
fn the_docs_have_the_table() {
    let rows = SETTINGS.each_ref().map(|setting| {
        let Setting { name, meaning, omitted, .. } = setting;
        format!("| `--{name}` | `{}` | {meaning} | {omitted} |\n", setting.variable())
    });
    let head = "| flag | environment variable | meaning | default |\n|------|----------------------|---------|---------|\n";
    assert_in_readme("settings", &format!("{head}{}", rows.concat()));
}
