//! `GET /metrics`, for Prometheus.

use hyper::header::{ACCEPT, HeaderValue, VARY};
use hyper::{HeaderMap, StatusCode};

use crate::http::exchange::reply::{Reply, with_body};
use crate::metrics::{Exposition, Metrics};

pub(crate) fn expose(metrics: &Metrics, headers: &HeaderMap) -> Reply {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let exposition = if accept.contains("application/openmetrics-text") {
        Exposition::OpenMetrics
    } else {
        Exposition::Prometheus
    };
    reply(exposition, metrics.expose(exposition))
}

fn reply(exposition: Exposition, text: String) -> Reply {
    let media_type = match exposition {
        Exposition::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        Exposition::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
    };
    let mut reply = with_body(StatusCode::OK, media_type, text.into());
    reply.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    reply
}
