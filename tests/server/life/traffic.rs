//! Clients that keep asking, through nginx and by kept connections, and do not put up with a failure.

use crate::harness::{Nginx, PATIENCE, Reply};
use std::{
    io::Write,
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// What they ask for, in turn: some that runs a model, some that does not.
const ROW: &str = "[[5.1, 3.5, 1.4, 0.2]]";

/// Running clients; ended by [`stop`](Self::stop).
pub(super) struct Traffic {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    failures: Arc<Mutex<Vec<String>>>,
    clients: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// So many clients, spread over `fronts`.
    pub(super) fn start(fronts: &[Nginx], clients: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (answered, failures) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let clients = (0..clients)
            .map(|number| {
                let address = fronts[number % fronts.len()].url.strip_prefix("http://").unwrap().to_owned();
                let (over, answered) = (Arc::clone(&over), Arc::clone(&answered));
                let failures = Arc::clone(&failures);
                thread::spawn(move || {
                    let mut connection = None;
                    while !over.load(Ordering::Relaxed) {
                        match ask(&address, &mut connection, answered.load(Ordering::Relaxed)) {
                            Ok(()) => _ = answered.fetch_add(1, Ordering::Relaxed),
                            // One from each is enough to know.
                            Err(failure) => return failures.lock().unwrap().push(failure),
                        }
                    }
                })
            })
            .collect();
        let traffic = Self { over, answered, failures, clients };
        traffic.flow(clients_are_at_it(&traffic));
        traffic
    }

    /// Waits until `more` requests have been answered from now on.
    pub(super) fn flow(&self, more: usize) {
        let until = self.answered.load(Ordering::Relaxed) + more;
        let end = Instant::now() + PATIENCE;
        while self.answered.load(Ordering::Relaxed) < until {
            let failures = self.failures.lock().unwrap().clone();
            assert!(failures.is_empty(), "{failures:?}");
            assert!(Instant::now() < end, "the traffic has come to a stand");
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Ends them; none of their requests may have failed.
    pub(super) fn stop(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        let failures = self.failures.lock().unwrap();
        assert!(failures.is_empty(), "{} failures, the first: {:?}", failures.len(), failures.first());
        self.answered.load(Ordering::Relaxed)
    }
}

/// Enough that each client has been answered several times.
fn clients_are_at_it(traffic: &Traffic) -> usize {
    traffic.clients.len() * 4
}

fn ask(address: &str, connection: &mut Option<TcpStream>, turn: usize) -> Result<(), String> {
    let (method, target, body) = match turn % 3 {
        0 => ("GET", "/v2/health/live", ""),
        1 => ("POST", "/predict/iris", ROW),
        _ => ("GET", "/v2/models/iris", ""),
    };
    // A fresh one now and then, so that both kinds are always under way.
    if turn.is_multiple_of(7) {
        *connection = None;
    }
    let mut stream = match connection.take() {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(address).map_err(|error| format!("nginx: {error}"))?;
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream
        }
    };
    let length = body.len();
    let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).map_err(|error| format!("nginx: {error}"))?;
    let reply = Reply::receive(&mut stream);
    if reply.status != 200 {
        return Err(format!("{method} {target}: {}: {}", reply.status, String::from_utf8_lossy(&reply.body)));
    }
    *connection = Some(stream);
    Ok(())
}
