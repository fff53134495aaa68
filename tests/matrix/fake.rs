//! Vantages that are no open-ports: they answer what a test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A server that answers every request with the next of its answers, the last one over
/// and over.
pub(crate) struct Fake {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

/// What a fake vantage does when it is asked.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Sends these bytes and closes.
    Bytes(String),
    /// Sends nothing, and keeps the connection.
    Silence,
}

impl Fake {
    pub(crate) fn start(answers: Vec<Answer>) -> Self {
        Self::start_by(answers, |stream, answer| {
            read_request(&stream);
            match answer {
                // The client may have left.
                Answer::Bytes(bytes) => drop((&stream).write_all(bytes.as_bytes())),
                Answer::Silence => return Some(stream),
            }
            None
        })
    }

    /// The same over TLS, with a certificate for 127.0.0.1 that the one in [`CA`] signed.
    pub(crate) fn start_encrypted(answer: Answer) -> Self {
        let certificate = CertificateDer::from_pem_slice(include_bytes!("tls/leaf.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/leaf.key")).unwrap();
        let config =
            ServerConfig::builder_with_provider(rustls_graviola::default_provider().into())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate], key)
                .unwrap();
        let config = Arc::new(config);
        Self::start_by(vec![answer], move |stream, answer| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            read_request(&mut stream);
            if let Answer::Bytes(bytes) = answer {
                // The client may not trust the certificate.
                let _ = stream.write_all(bytes.as_bytes());
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
            None
        })
    }

    fn start_by(
        answers: Vec<Answer>,
        serve: impl Fn(TcpStream, &Answer) -> Option<TcpStream> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        // It ends with the process.
        thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                let number = count.fetch_add(1, Ordering::Relaxed);
                kept.extend(serve(stream, &answers[number.min(answers.len() - 1)]));
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn https_url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many requests there were.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// A whole answer with these records.
pub(crate) fn records(body: &str) -> Answer {
    let length = body.len();
    Answer::Bytes(format!("{}Content-Length: {length}\r\n\r\n{body}", head()))
}

/// An answer that ends in the middle of these records.
pub(crate) fn cut(body: &str) -> Answer {
    let more = body.len() + 1;
    Answer::Bytes(format!("{}Content-Length: {more}\r\n\r\n{body}", head()))
}

fn head() -> &'static str {
    "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n"
}

/// The records of a scan of one port of one host: its state, and the end, which counts
/// one more of what `lie` names.
pub(crate) fn scan_of(host: &str, port: u16, state: &str, lie: &str) -> String {
    let reason = if state == "open" { "syn-ack" } else { "no-response" };
    let row = match state {
        "closed" => String::new(),
        _ => format!(
            "{{\"type\":\"port\",\"host\":\"{host}\",\"address\":\"127.0.0.1\",\"port\":{port},\
             \"state\":\"{state}\",\"reason\":\"{reason}\"}}\n"
        ),
    };
    let count = |name: &str| u8::from(name == state) + u8::from(name == lie);
    let hosts = 1 + u8::from(lie == "host");
    format!(
        "{row}{{\"type\":\"end\",\"summary\":{{\"complete\":true,\"host_count\":{hosts},\
         \"address_count\":1,\"open\":{},\"closed\":{},\"filtered\":{},\"not_scanned\":0,\
         \"unvisited_hosts\":0,\"elapsed_ms\":1.0,\"ports\":\"{port}\"}}}}\n",
        count("open"),
        count("closed"),
        count("filtered"),
    )
}

/// The certificate to trust.
pub(crate) const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/matrix/tls/ca.pem");

/// Reads a request with its body, as far as there is one.
fn read_request(stream: impl Read) {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    for line in reader.by_ref().lines().map_while(Result::ok) {
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    // The client may have left.
    let _ = reader.read_exact(&mut body);
}
