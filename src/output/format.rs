//! The formats of the command: their names, and what each needs.

use super::JudgeForm;

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Columns for people.
    Table,
    /// A line `host:port` for each open port.
    Plain,
    /// One JSON document with a report for each host.
    Json,
    /// The records that the HTTP API streams, one a line.
    Ndjson,
    /// Comma-separated values, one finding a line.
    Csv,
    /// As nmap's -oG.
    Grepable,
    /// As nmap's -oX.
    Xml,
    /// What a CI system reads: whether the open ports are the expected ones.
    Judged(JudgeForm),
    /// Targets that Prometheus reads from a file.
    FileSd,
}

impl Format {
    /// The formats by name.
    pub(crate) const ALL: [(&'static str, Self); 12] = [
        ("table", Self::Table),
        ("plain", Self::Plain),
        ("json", Self::Json),
        ("ndjson", Self::Ndjson),
        ("csv", Self::Csv),
        ("grepable", Self::Grepable),
        ("xml", Self::Xml),
        ("junit", Self::Judged(JudgeForm::Junit)),
        ("tap", Self::Judged(JudgeForm::Tap)),
        ("github", Self::Judged(JudgeForm::Github)),
        ("sarif", Self::Judged(JudgeForm::Sarif)),
        ("file-sd", Self::FileSd),
    ];

    /// Whether it needs the whole report on each host, and not its findings alone.
    #[must_use]
    pub(crate) fn is_by_host(self) -> bool {
        match self {
            Self::Json | Self::Grepable | Self::Xml | Self::Judged(_) | Self::FileSd => true,
            Self::Table | Self::Plain | Self::Ndjson | Self::Csv => false,
        }
    }

    /// Whether it is about whether open ports are as expected.
    #[must_use]
    pub(crate) fn is_judged(self) -> bool {
        matches!(self, Self::Judged(_))
    }

    /// Whether incomplete output must not replace a file that is there.
    #[must_use]
    pub(crate) fn is_all_or_nothing(self) -> bool {
        self == Self::FileSd
    }

    /// Its name.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        let mut all = Self::ALL.iter();
        all.find(|(_, format)| *format == self).map_or("", |&(name, _)| name)
    }

    /// Whether it has what differs from an earlier report.
    #[must_use]
    pub(crate) fn has_drift(self) -> bool {
        matches!(self, Self::Table | Self::Json | Self::Ndjson | Self::Judged(_))
    }

    /// The format of that name.
    #[must_use]
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|&(_, format)| format)
    }
}
