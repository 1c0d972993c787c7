//! The bare client: the same requests as deliveries are, of the same size, on as many connections, in a process of its own,
//! with nothing stored and nothing signed. What it reaches is the ceiling on this machine.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode};
use http_body_util::Full;
use systems::world;
use tokio::task::JoinSet;

use super::Plan;
use super::publisher::{body, connect, send};
use super::sink::Sink;
use crate::run::output_of;

/// What a delivery carries besides its body, value by value of the same length.
const HEADERS: [(&str, &str); 10] = [
    ("host", "127.0.0.1:40000"),
    ("content-type", "application/json"),
    ("user-agent", "Hookward/0.1.0"),
    ("hookward-event-id", "evt_01a20249a61576dca3879523e2d80185"),
    ("hookward-delivery-id", "dlv_01a20249a61576dca3879523e2d80185"),
    ("hookward-attempt", "1"),
    ("hookward-hop", "1"),
    ("webhook-id", "evt_01a20249a61576dca3879523e2d80185"),
    ("webhook-timestamp", "1795334710"),
    ("webhook-signature", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
];

/// What the process of its own is told.
#[derive(Args)]
pub(crate) struct Bare {
    address: SocketAddr,
    connections: usize,
    fan: usize,
    bytes: usize,
    seconds: u64,
}

/// Runs a bare client against the sink. Requests a second.
pub(super) fn measure(sink: &Sink, fan: usize, plan: &Plan, how_long: Duration) -> Result<f64> {
    sink.clear();
    let connections = plan.connections.div_ceil(fan) * fan;
    let arguments = [connections, fan, plan.bytes].map(|number| number.to_string());
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "bare", &sink.address().to_string()]).args(arguments).arg(how_long.as_secs().to_string());
    let said = output_of(&mut command)?;
    let (count, seconds) = said.trim().split_once(' ').context("the bare client did not say what it did")?;
    let (count, seconds): (u64, f64) = (count.parse()?, seconds.parse()?);
    ensure!(sink.count() == count, "the bare client sent {count} requests, and {} came", sink.count());
    Ok(count as f64 / seconds)
}

/// The process itself: prints how many requests were answered in how many seconds.
pub(in crate::bench) fn run(plan: &Bare) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (count, seconds) = runtime.block_on(flood(plan))?;
    println!("{count} {seconds}");
    Ok(())
}

async fn flood(plan: &Bare) -> Result<(u64, f64)> {
    let began = world::instant();
    let end = began + Duration::from_secs(plan.seconds);
    let mut tasks = JoinSet::new();
    for index in 0..plan.connections {
        let body = Bytes::from(body(index as u64, 0, plan.bytes));
        let (address, path) = (plan.address, format!("/{}", index % plan.fan));
        tasks.spawn(async move {
            let mut sender = connect(address).await?;
            let mut count = 0;
            while world::instant() < end {
                let request = Request::post(path.as_str());
                let request = HEADERS.iter().fold(request, |request, (name, value)| request.header(*name, *value));
                let status = send(&mut sender, request.body(Full::new(body.clone()))?).await?;
                ensure!(status == StatusCode::NO_CONTENT, "the sink answered {status}");
                count += 1;
            }
            Ok(count)
        });
    }
    let mut count = 0;
    while let Some(ended) = tasks.join_next().await {
        count += ended??;
    }
    Ok((count, began.elapsed().as_secs_f64()))
}
