//! A place that stays where it is while what is behind it moves: connections are passed on to wherever it points now, and
//! refused by a close when it points nowhere.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A relay on a free loopback port; it serves until the process ends.
#[derive(Debug, Clone)]
pub struct Relay {
    address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
}

impl Relay {
    /// One that points nowhere yet.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let relay = Self { address: listener.local_addr()?, target: Arc::default() };
        let target = Arc::clone(&relay.target);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let target = *target.lock().expect("nobody panics with it");
                if let Some(server) = target.and_then(|target| TcpStream::connect(target).ok()) {
                    pass_on(client, server);
                }
            }
        });
        Ok(relay)
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on connections are passed on to `target`.
    pub fn point_at(&self, target: Option<SocketAddr>) {
        *self.target.lock().expect("nobody panics with it") = target;
    }
}

fn pass_on(client: TcpStream, server: TcpStream) {
    let (Ok(from_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else { return };
    for (mut from, mut to) in [(from_client, server), (from_server, client)] {
        std::thread::spawn(move || {
            // However it ends, both sides are told.
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}
