//! `hearth conformance-server`: a small MCP server of what the conformance suite expects and nothing else, to stand behind
//! a hub. Built with the feature `conformance` alone.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use hyper::{Method, StatusCode};
use tokio::sync::{broadcast, watch};

use crate::app;
use crate::cli::bridge;
use crate::common::config::Config;
use crate::common::who::{Door, Principal};
use crate::gateway::context::Request;
use crate::gateway::listen::Listener;
use crate::gateway::mcp;
use crate::gateway::respond::{self, Response};
use crate::mcp::Service;
use crate::mcp::conformance::Conformance;
use crate::mcp::server::Server;
use crate::mcp::service::CHANGES_LEN;

#[derive(clap::Args)]
pub struct Args {
    /// Speak on standard input and output.
    #[arg(long, required_unless_present = "listen", conflicts_with = "listen")]
    stdio: bool,
    /// Speak HTTP here, at /mcp; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    app::runtime()?.block_on(async {
        let address = args.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = Listener::bind(address)?;
        let base = format!("http://{}", listener.local_addr());
        let (shutdown, stopping) = watch::channel(false);
        let (_settings, config) = watch::channel(Arc::new(Config::default()));
        let changes = broadcast::channel(CHANGES_LEN).0;
        let service = Service::new(vec![Arc::new(Conformance::new(changes.clone()))], changes);
        let server = Server::new(service, env!("CARGO_PKG_VERSION"), stopping.clone());
        let serving = tokio::spawn(listener.serve(config, stopping, move |_, request| answer(server.clone(), request)));
        if args.stdio {
            bridge::run(bridge::Hub { base, token: None }).await?;
        } else {
            println!("{base}/mcp");
            app::stop_signal().await;
        }
        shutdown.send_replace(true);
        serving.await?;
        Ok(ExitCode::SUCCESS)
    })
}

async fn answer(server: Arc<Server>, mut request: Request) -> Response {
    request.extensions_mut().insert(Arc::new(Principal::house(Door::Mcp)));
    match (request.uri().path(), request.method()) {
        ("/healthz", _) => respond::empty(StatusCode::OK),
        ("/mcp", &Method::POST) => mcp::post_to(&server, request).await,
        ("/mcp", &Method::GET) => mcp::get_from(&server, request).await,
        ("/mcp", &Method::DELETE) => mcp::delete_at(&server, &request),
        _ => respond::empty(StatusCode::NOT_FOUND),
    }
}
