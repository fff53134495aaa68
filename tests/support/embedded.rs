//! The server in the test's own process, with names that resolve as the test says.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use open_ports::config::{Config, Sources};
use open_ports::http::{App, Parts, ServerLimits, serve};
use open_ports::machine::descriptors::DescriptorPlan;
use open_ports::resolve::Resolver;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::client::{self, Reply};

/// A server that ends when it is dropped.
pub(crate) struct Embedded {
    pub(crate) address: SocketAddr,
    _runtime: Runtime,
}

impl Embedded {
    /// Serves with these settings, and with `look_up` for the system's resolver.
    pub(crate) fn start(
        settings: &[(&str, &str)],
        look_up: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        let flags = |name: &str| {
            let setting = settings.iter().find(|(setting, _)| *setting == name);
            setting.map(|(_, value)| (*value).to_owned())
        };
        let config = Config::try_new(&Sources::new(&flags, &|_| None)).unwrap();
        let descriptors = DescriptorPlan {
            limit: 128,
            connections: 16,
            lookups: 4,
            probes: 64,
            scan_memory: usize::MAX,
        };
        let limits = ServerLimits {
            connections: descriptors.connections,
            drain_delay: Duration::ZERO,
            grace: Duration::ZERO,
        };
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let parts = Parts {
            listen: address,
            descriptors,
            cores: NonZeroUsize::MIN,
            resolver: Resolver::asking(descriptors.lookups, move |name| Ok(look_up(name))),
            tokens: None,
            log: None,
        };
        let app = App::new(&config, parts);
        runtime.spawn(serve(listener, Arc::new(app), limits, std::future::pending()));
        Self { address, _runtime: runtime }
    }

    /// Sends one `GET` on a connection of its own.
    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Reply {
        client::get(self.address, target)
    }
}
