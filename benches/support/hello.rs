//! hyper's hello-world: a server that does nothing but answer, as its guide
//! sets one up.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The server, which ends with its runtime.
pub(crate) struct Hello {
    pub(crate) address: SocketAddr,
    _runtime: Runtime,
}

impl Hello {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .expect("a free port to listen on");
        let address = listener.local_addr().expect("a bound listener has an address");
        runtime.spawn(serve(listener));
        Self { address, _runtime: runtime }
    }
}

async fn serve(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.expect("clients are few");
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service_fn(hello));
            connection.await.expect("the client keeps to HTTP");
        });
    }
}

async fn hello<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"Hello World!"))))
}
