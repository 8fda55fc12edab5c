//! A document for whoever connects, and the end of the connection: how uWSGI gives its statistics. Nothing is asked, and nothing
//! that a peer sends is read before it has its document.

use super::{Connections, Drain, Listener, Pieces, connection::linger, listener::accept, socket::Socket};
use std::{os::fd::OwnedFd, time::Duration};
use tokio::time::timeout;

/// How long a peer may take for all of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Gives every connection the `document` of that moment, until the drain begins, then those still waiting to be accepted, and
/// returns. Connections go on after that; wait for them by [`Connections::closed`].
pub async fn dump<D>(listener: Listener, document: impl Fn() -> D, connections: Connections, drain: Drain)
where
    D: Future<Output = Vec<u8>> + Send + 'static,
{
    accept(&listener, &connections, &drain, |fd| give(fd, document(), drain.clone(), PATIENCE)).await;
}

async fn give(fd: OwnedFd, document: impl Future<Output = Vec<u8>>, drain: Drain, patience: Duration) {
    let mut socket = Socket::new(fd);
    let giving = async {
        let document = document.await;
        socket.send_all(&document, &Pieces::default(), patience).await
    };
    match timeout(patience, giving).await {
        // Who has sent something, a request by HTTP for example, would lose the document if we closed at once.
        Ok(Ok(())) => tokio::select! {
            () = linger(&mut socket) => {}
            () = drain.begun() => {}
        },
        Ok(Err(error)) => tracing::debug!("statistics not taken: {error}"),
        Err(_) => tracing::debug!("statistics not taken within {patience:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::phase::{Life, Phase};
    use std::{
        future::ready,
        io::{Read, Write},
        os::unix::net::UnixStream,
        thread,
    };

    const LONG: usize = 8 << 20;

    fn life() -> Life {
        Life::begin(Phase::Ready, Box::new(|_, _| {}))
    }

    fn pair() -> (OwnedFd, UnixStream) {
        let (ours, peer) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (ours.into(), peer)
    }

    #[tokio::test]
    async fn a_peer_gets_all_of_it_whatever_it_has_sent_and_then_the_end() {
        for said in ["", "GET / HTTP/1.0\r\n\r\n"] {
            let (ours, mut peer) = pair();
            peer.write_all(said.as_bytes()).unwrap();
            let reads = thread::spawn(move || {
                let mut got = Vec::new();
                peer.read_to_end(&mut got).unwrap();
                got.len()
            });
            let life = life();
            give(ours, ready(vec![b'x'; LONG]), Drain::of(&life), PATIENCE).await;
            assert_eq!(reads.join().unwrap(), LONG, "{said:?}");
        }
    }

    #[tokio::test]
    async fn a_peer_that_takes_too_long_is_given_up() {
        let (ours, mut peer) = pair();
        let life = life();
        give(ours, ready(vec![b'x'; LONG]), Drain::of(&life), Duration::from_millis(50)).await;
        let mut got = Vec::new();
        peer.read_to_end(&mut got).unwrap();
        assert!(got.len() < LONG);
    }

    #[tokio::test]
    async fn in_a_drain_nobody_is_waited_for_who_has_the_document() {
        let (ours, mut peer) = pair();
        let life = life();
        let drain = Drain::of(&life);
        life.enter(Phase::Draining, "");
        timeout(PATIENCE / 5, give(ours, ready(b"all of it".to_vec()), drain, PATIENCE)).await.unwrap();
        let mut got = String::new();
        peer.read_to_string(&mut got).unwrap();
        assert_eq!(got, "all of it");
    }
}
