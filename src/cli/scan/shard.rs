//! `--shard`: which part of a sweep this process scans.

use crate::fields::FieldErrors;
use crate::targets::Shard;

/// Reads the flag; with `auto`, what Kubernetes and the user put into the environment.
/// `Some(None)` is no shard.
pub(super) fn shard(
    text: Option<&str>,
    environment: &dyn Fn(&str) -> Option<String>,
    errors: &mut FieldErrors,
) -> Option<Option<Shard>> {
    let shard = match text {
        None => return Some(None),
        Some("auto") => automatic(environment),
        Some(text) => text.parse::<Shard>().map_err(|error| error.to_string()),
    };
    match shard {
        Ok(shard) => Some(Some(shard)),
        Err(error) => errors.reject("--shard", error),
    }
}

/// The shard of a pod of an Indexed Job, which counts from 0.
fn automatic(environment: &dyn Fn(&str) -> Option<String>) -> Result<Shard, String> {
    let number = |name: &str| match environment(name) {
        Some(text) => text.parse::<u32>().map_err(|_| format!("auto: {name} must be a number")),
        None => Err(format!("auto: {INDEX} (from 0) and {COUNT} must be in the environment")),
    };
    let (index, count) = (number(INDEX)?, number(COUNT)?);
    Shard::try_new(index.saturating_add(1), count)
        .map_err(|_| format!("auto: {INDEX} is {index}, which must be below {COUNT}, {count}"))
}

/// Set by Kubernetes in each pod of an Indexed Job.
const INDEX: &str = "JOB_COMPLETION_INDEX";

const COUNT: &str = "OPEN_PORTS_SHARDS";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: Option<&str>, variables: &[(&str, &str)]) -> Result<Option<Shard>, String> {
        let environment = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let mut errors = FieldErrors::default();
        shard(text, &environment, &mut errors).ok_or_else(|| errors.to_string())
    }

    #[test]
    fn a_shard_is_typed_or_that_of_a_pod_of_an_indexed_job() {
        let third = Shard::try_new(3, 4).ok();
        assert_eq!(read(None, &[]), Ok(None));
        assert_eq!(read(Some("3/4"), &[]), Ok(third));
        assert_eq!(read(Some("auto"), &[(INDEX, "2"), (COUNT, "4")]), Ok(third));
        for (text, variables, error) in [
            ("0/4", &[][..], "--shard must name one of the shards 1/4 to 4/4"),
            ("5/4", &[], "--shard must name one of the shards 1/4 to 4/4"),
            (
                "auto",
                &[(INDEX, "2")],
                "--shard auto: JOB_COMPLETION_INDEX (from 0) and OPEN_PORTS_SHARDS must be in the \
                 environment",
            ),
            (
                "auto",
                &[(INDEX, "x"), (COUNT, "4")],
                "--shard auto: JOB_COMPLETION_INDEX must be a number",
            ),
            (
                "auto",
                &[(INDEX, "4"), (COUNT, "4")],
                "--shard auto: JOB_COMPLETION_INDEX is 4, which must be below OPEN_PORTS_SHARDS, 4",
            ),
        ] {
            assert_eq!(read(Some(text), variables), Err(error.to_owned()));
        }
    }
}
