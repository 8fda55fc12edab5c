//! Which users of this machine may connect by a Unix socket, whatever the rights of its file.

use rustix::net::sockopt;
use std::{
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

/// How often a refusal is worth a line.
const QUIET: Duration = Duration::from_secs(10);

/// The users who may connect; may be changed at any time, and all clones see the same.
#[derive(Clone, Debug, Default)]
pub struct AllowedUsers(Arc<Policy>);

#[derive(Debug, Default)]
struct Policy {
    /// Nobody means everybody.
    users: RwLock<Vec<u32>>,
    refused: Mutex<Refused>,
}

#[derive(Debug, Default)]
struct Refused {
    said: Option<Instant>,
    unsaid: u64,
}

impl AllowedUsers {
    /// Root, our own user and `users`; if there are none, whoever can open the socket.
    #[must_use]
    pub fn new(users: Vec<u32>) -> Self {
        let allowed = Self::default();
        allowed.set(users);
        allowed
    }

    /// From the next connection on.
    pub fn set(&self, users: Vec<u32>) {
        *self.0.users.write().unwrap_or_else(PoisonError::into_inner) = users;
    }

    /// Whether the peer of a connection may talk to us.
    pub(super) fn admit(&self, connection: impl AsFd) -> bool {
        let (peer, admitted) = {
            let users = self.0.users.read().unwrap_or_else(PoisonError::into_inner);
            if users.is_empty() {
                return true;
            }
            // As they were when the peer connected: unix(7), SO_PEERCRED.
            let peer = sockopt::socket_peercred(connection).map(|peer| peer.uid.as_raw());
            let own = rustix::process::geteuid().as_raw();
            (peer, peer.is_ok_and(|peer| peer == 0 || peer == own || users.contains(&peer)))
        };
        if !admitted {
            self.refused(peer.ok(), Instant::now());
        }
        admitted
    }

    fn refused(&self, peer: Option<u32>, now: Instant) {
        let unsaid = {
            let mut refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
            if refused.said.is_some_and(|said| now < said + QUIET) {
                refused.unsaid += 1;
                return;
            }
            refused.said = Some(now);
            std::mem::take(&mut refused.unsaid)
        };
        // By number: to look for its name may mean to ask a server of accounts, and no connection waits for that.
        let who =
            peer.map_or_else(|| "whose number the kernel does not tell".to_owned(), |peer| peer.to_string());
        tracing::warn!(unsaid, "refused a connection of user {who}: not one of socket.allow_users");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn root_and_our_own_user_may_always_connect() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let allowed = AllowedUsers::new(vec![4711]);
        assert!(allowed.admit(&ours));
        allowed.set(Vec::new());
        assert!(allowed.admit(&ours));
    }

    #[test]
    fn refusals_are_counted_and_said_once_in_a_while() {
        let allowed = AllowedUsers::new(vec![4711]);
        let begin = Instant::now();
        let refuse = |after: u64| {
            allowed.refused(Some(1), begin + Duration::from_secs(after));
            allowed.0.refused.lock().unwrap().unsaid
        };
        assert_eq!([0, 1, 9, 10, 11].map(refuse), [0, 1, 2, 0, 1]);
    }
}
