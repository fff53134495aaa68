//! `GET /metrics`, for Prometheus.

use hyper::header::{HeaderValue, VARY};
use hyper::{HeaderMap, StatusCode};

use crate::http::exchange::negotiation::weight_of;
use crate::http::exchange::reply::{Reply, with_body};
use crate::metrics::{Exposition, Metrics};

pub(crate) fn expose(metrics: &Metrics, headers: &HeaderMap) -> Reply {
    let exposition = exposition(headers);
    reply(exposition, metrics.expose(exposition))
}

/// The format that a scraper prefers. One that accepts neither gets Prometheus' own, as
/// from Prometheus' client libraries.
pub(super) fn exposition(headers: &HeaderMap) -> Exposition {
    let [prometheus, open_metrics] = [Exposition::Prometheus, Exposition::OpenMetrics]
        .map(|exposition| weight_of(headers, media_type(exposition)));
    if open_metrics > prometheus { Exposition::OpenMetrics } else { Exposition::Prometheus }
}

pub(super) fn reply(exposition: Exposition, text: String) -> Reply {
    let mut reply = with_body(StatusCode::OK, media_type(exposition), text.into());
    reply.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    reply
}

pub(super) fn media_type(exposition: Exposition) -> &'static str {
    match exposition {
        Exposition::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        Exposition::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::ACCEPT;

    use super::*;

    #[test]
    fn the_heavier_format_is_chosen_and_prometheus_own_if_there_is_none() {
        // The first is what Prometheus 2.42 sends, the second what Prometheus 3 does.
        for (accept, chosen) in [
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
                 version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Exposition::OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                 text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                Exposition::OpenMetrics,
            ),
            ("text/plain, application/openmetrics-text;q=0.9", Exposition::Prometheus),
            ("*/*", Exposition::Prometheus),
            ("application/openmetrics-text;q=0", Exposition::Prometheus),
            ("text/html", Exposition::Prometheus),
        ] {
            let headers = [(ACCEPT, accept.parse().unwrap())].into_iter().collect();
            assert_eq!(exposition(&headers), chosen, "{accept}");
        }
        assert_eq!(exposition(&HeaderMap::new()), Exposition::Prometheus);
    }
}
