//! `open-ports serve`: starts the service.

mod args;

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Instant;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::time::sleep;

pub(super) use self::args::ServeArgs;
use super::environment::{Environment, NotUtf8};
use super::exit::SIGNALLED;
use super::{Exit, cores, print_error, print_error_briefly, start_runtime};
use crate::config::{Config, ConfigErrors, LogConfig, LogFormat, Sources};
use crate::http::{self, App, Drained, Hosts, Parts, ServerLimits};
use crate::limits;
use crate::log::{JsonLines, Log};
use crate::machine::descriptors::{DescriptorPlan, TooFewDescriptors, raise_descriptor_limit};
use crate::machine::memory::memory_limit;
use crate::printable::Printable;
use crate::resolve::Resolver;
use crate::shutdown::StopSignals;
use crate::tokens::{TokenFile, TokenFileError};

/// What the service starts with.
struct Startup {
    config: Config,
    descriptors: DescriptorPlan,
    tokens: Option<Arc<TokenFile>>,
    cores: NonZeroUsize,
    log: Log,
    /// About the environment, for the log.
    warnings: Vec<String>,
}

/// Why the service does not run.
#[derive(Debug, Error)]
enum Failure {
    #[error("{0}")]
    Environment(#[from] NotUtf8),
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    #[error("{0}")]
    Descriptors(#[from] TooFewDescriptors),
    #[error("tokens: {0}")]
    Tokens(#[from] TokenFileError),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot make a thread for the log: {0}")]
    Log(io::Error),
    #[error("cannot read the address of a listener: {0}")]
    Listener(io::Error),
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
    #[error("cannot handle signals: {0}")]
    Signals(io::Error),
}

pub(super) fn run(args: &ServeArgs) -> Exit {
    match serve(args) {
        Ok(()) => Exit::Whole,
        Err(failure) => {
            print_error_briefly(&failure.to_string());
            match failure {
                Failure::Environment(_) | Failure::Config(_) => Exit::Usage,
                _ => Exit::Failure,
            }
        }
    }
}

fn serve(args: &ServeArgs) -> Result<(), Failure> {
    let environment = Environment::read()?;
    let warnings = environment.warnings();
    let (flags, environment) = (|name: &str| args.flag(name), |name: &str| environment.get(name));
    let config = Config::try_new(&Sources::new(&flags, &environment))
        // A misspelt variable may be the cause.
        .inspect_err(|_| warnings.iter().for_each(|warning| print_error(warning)))?;
    let log = start_log(config.log).map_err(Failure::Log)?;
    let descriptors = DescriptorPlan::try_new(raise_descriptor_limit())?.within(memory_limit());
    let open = |path| TokenFile::try_new(path, Instant::now());
    let tokens = config.tokens.clone().map(open).transpose()?.map(Arc::new);
    let cores = cores();
    let runtime = start_runtime(cores).map_err(Failure::Runtime)?;
    let startup = Startup { config, descriptors, tokens, cores, log, warnings };
    let result = runtime.block_on(startup.run());
    // A name may still be resolving. Nothing waits for it.
    runtime.shutdown_background();
    startup.log.settle();
    result
}

impl Startup {
    async fn run(&self) -> Result<(), Failure> {
        let config = &self.config;
        let mut signals = StopSignals::try_new().map_err(Failure::Signals)?;
        let listener = listen(&config.listen)?;
        let metrics_listener = match config.metrics_listen {
            Some(address) => Some(listen(&[address])?),
            None => None,
        };
        let app = Arc::new(App::new(config, self.parts(local_address(&listener)?)));
        let server = ServerLimits {
            connections: self.descriptors.connections,
            drain_delay: config.drain_delay,
            grace: config.grace,
        };
        self.log_start(&listener, metrics_listener.as_ref());
        self.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        if let Some(tokens) = self.tokens.clone() {
            // Also without requests, since metrics show the state of the file.
            tokio::spawn(async move {
                loop {
                    sleep(limits::TOKEN_CHECK_INTERVAL).await;
                    http::follow_tokens(&tokens, Instant::now());
                }
            });
        }
        if let Some(listener) = metrics_listener {
            let hosts = Hosts::new(local_address(&listener)?, config.hosts.clone());
            let metrics = Arc::clone(app.metrics());
            let server = ServerLimits { connections: limits::MAX_METRICS_CONNECTIONS, ..server };
            let never = std::future::pending();
            // Ends with the runtime, so that metrics can be read to the last moment.
            tokio::spawn(http::serve_metrics(listener, metrics, hosts, server, never));
        }
        let stop = async move {
            let signal = signals.next().await;
            tracing::info!(signal, "stopping: finishing what is running");
            tokio::spawn(async move {
                let signal = signals.next().await;
                std::process::exit(i32::from(SIGNALLED + signal));
            });
        };
        match http::serve(listener, app, server, stop).await {
            Drained::Whole => tracing::info!("stopped"),
            Drained::Cut(connections) => tracing::warn!(connections, "stopped, cutting some off"),
        }
        Ok(())
    }

    fn parts(&self, listen: SocketAddr) -> Parts {
        Parts {
            listen,
            descriptors: self.descriptors,
            cores: self.cores,
            resolver: Resolver::new(self.descriptors.lookups),
            tokens: self.tokens.clone(),
            log: Some(self.log.clone()),
        }
    }

    /// Logs the settings in force, on one line.
    fn log_start(&self, listener: &TcpListener, metrics_listener: Option<&TcpListener>) {
        let Self { config, descriptors, .. } = self;
        let address =
            |listener: &TcpListener| listener.local_addr().ok().map(tracing::field::display);
        let tokens = self.tokens.as_ref().map(|tokens| tokens.tokens().len().to_string());
        let tokens_file = config.tokens.as_ref().map(|path| path.display().to_string());
        let tokens_file = tokens_file.as_deref().map(Printable).map(tracing::field::display);
        let (quotas, ceilings) = (config.quotas, config.ceilings);
        tracing::info!(
            listen = address(listener),
            metrics_listen = metrics_listener.and_then(address),
            allow = %config.policy.allow(),
            deny = %config.policy.deny(),
            tokens = tokens.as_deref().unwrap_or("none"),
            tokens_file,
            max_scans = quotas.scans,
            max_scans_per_caller = quotas.scans_per_caller,
            max_scans_per_target = quotas.scans_per_target,
            max_sweep_targets = ceilings.sweep_targets,
            max_rate = config.rate.map_or(0, NonZeroU32::get),
            max_scan_rate = ceilings.rate.map_or(0, NonZeroU32::get),
            max_deadline = ceilings.deadline.as_secs(),
            timeout_offset = config.timeout_offset.as_secs_f64(),
            drain_delay = config.drain_delay.as_secs(),
            grace = config.grace.as_secs(),
            fanouts = self.cores,
            descriptors = descriptors.limit,
            memory = memory_limit(),
            probes = descriptors.probes,
            connections = descriptors.connections,
            scan_memory = memory_limit().map(|_| descriptors.scan_memory),
            "serving"
        );
    }
}

/// The bound address of a listener, with the port that the system chose for port 0.
fn local_address(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener.local_addr().map_err(Failure::Listener)
}

fn listen(addresses: &[SocketAddr]) -> Result<TcpListener, Failure> {
    let (last, others) = addresses.split_last().expect("there is an address to listen on");
    if let Some(listener) = others.iter().find_map(|address| http::listen(*address).ok()) {
        return Ok(listener);
    }
    http::listen(*last).map_err(|source| Failure::Listen { address: *last, source })
}

fn start_log(config: LogConfig) -> io::Result<Log> {
    let is_terminal = io::stderr().is_terminal();
    let log = Log::try_new(io::stderr())?;
    log.take_panics();
    let writer = log.clone();
    let builder = tracing_subscriber::fmt()
        .with_max_level(config.level)
        .with_writer(move || writer.clone())
        // They would be printed on standard error, and may block there.
        .log_internal_errors(false)
        .with_ansi(is_terminal)
        .with_target(false);
    match config.format {
        Some(LogFormat::Text) => builder.init(),
        None if is_terminal => builder.init(),
        Some(LogFormat::Json) | None => builder.event_format(JsonLines).init(),
    }
    Ok(log)
}
