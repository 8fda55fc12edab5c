//! Watches what is about to run out at the door: room in the accept queues, places for connections, memory for requests. What
//! begins is told once, and so is what ends, with how long it was and how bad.
//!
//! It looks once a second while there are connections, and sleeps where there are none. The kernel is asked on a thread that
//! may wait for it.

use super::{Connections, Listener, LiveLimits};
use crate::{
    os::{
        listening::{self, Depth, Inode},
        process,
    },
    telemetry::{
        alarms::{Alarm, Alarms},
        episode::Episode,
    },
};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);

/// How long the kernel may take to say.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is watched.
#[derive(Debug)]
pub struct Sentry {
    connections: Connections,
    limits: LiveLimits,
    alarms: Alarms,
    queues: Vec<Queue>,
    places: Shortage,
    memory: Shortage,
    accepting: Shortage,
}

/// A socket's.
#[derive(Debug)]
struct Queue {
    address: String,
    inode: Inode,
    filling: Option<Episode>,
}

/// Something that is asked for, and not always there.
#[derive(Debug, Default)]
struct Shortage {
    episode: Option<Episode>,
    /// How often it was not there, when it was looked last.
    lacked: u64,
}

/// What has changed about it.
enum Change {
    Begins,
    Ends(Episode),
}

impl Sentry {
    /// Over these listeners and what they share. What is wrong is among `alarms`.
    pub fn over<'a>(
        listeners: impl IntoIterator<Item = &'a Listener>,
        connections: Connections,
        limits: LiveLimits,
        alarms: Alarms,
    ) -> Self {
        let queue = |listener: &Listener| {
            let (address, inode) = (listener.address().to_string(), listener.inode()?);
            Some(Queue { address, inode, filling: None })
        };
        let queues = listeners.into_iter().filter_map(queue).collect();
        let [places, memory, accepting] = <[Shortage; 3]>::default();
        Self { connections, limits, alarms, queues, places, memory, accepting }
    }

    /// Watches, until it is dropped.
    pub async fn watch(mut self) {
        loop {
            self.connections.arrival().await;
            loop {
                tokio::time::sleep(LOOK).await;
                let depths = self.depths().await;
                self.look(&depths, Instant::now());
                if self.connections.open() == 0 && !self.is_alarmed() {
                    break;
                }
            }
        }
    }

    /// Of each queue, as far as it is known.
    async fn depths(&self) -> Vec<Option<Depth>> {
        let inodes: Vec<Inode> = self.queues.iter().map(|queue| queue.inode).collect();
        let asked = tokio::task::spawn_blocking(move || listening::depths(&inodes));
        match timeout(PATIENCE, asked).await {
            Ok(Ok(depths)) => depths,
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    }

    fn is_alarmed(&self) -> bool {
        let shortages = [&self.places, &self.memory, &self.accepting];
        self.queues.iter().any(|queue| queue.filling.is_some())
            || shortages.iter().any(|shortage| shortage.episode.is_some())
    }

    fn look(&mut self, depths: &[Option<Depth>], now: Instant) {
        for (queue, depth) in self.queues.iter_mut().zip(depths) {
            if let Some(depth) = depth {
                queue.look(*depth, &self.alarms, now);
            }
        }
        self.look_at_places(now);
        self.look_at_memory(now);
        self.look_at_accepting(now);
    }

    fn look_at_places(&mut self, now: Instant) {
        let (connections, alarms) = (&self.connections, &self.alarms);
        let (open, limit) = (connections.open() as u64, connections.limit());
        match self.places.look(connections.waits(), connections.is_waited_for(), open, now) {
            Some(Change::Begins) => {
                let text = format!("all {limit} connections are in use; others wait (limits.connections)");
                tracing::warn!(open, "{text}");
                alarms.raise("connections", Alarm { kind: "connections", text, since: now });
            }
            Some(Change::Ends(full)) => {
                let (lasted_s, waits, peak) = numbers(&full);
                tracing::warn!(lasted_s, waits, peak, "there are places for connections again");
                alarms.clear("connections");
            }
            None => {}
        }
    }

    fn look_at_memory(&mut self, now: Instant) {
        let budget = self.limits.now().budget.clone();
        let (held, limit) = (budget.held(), budget.limit());
        match self.memory.look(budget.refused(), false, held, now) {
            Some(Change::Begins) => {
                let text = format!(
                    "the requests under way fill the {limit} bytes there are for them; others are refused (limits.in_flight)"
                );
                tracing::warn!(held, "{text}");
                self.alarms.raise("memory", Alarm { kind: "memory", text, since: now });
            }
            Some(Change::Ends(full)) => {
                let (lasted_s, refused, peak) = numbers(&full);
                tracing::warn!(lasted_s, refused, peak, "there is memory for requests again");
                self.alarms.clear("memory");
            }
            None => {}
        }
    }

    fn look_at_accepting(&mut self, now: Instant) {
        let (failures, why) = self.connections.failures();
        match self.accepting.look(failures, false, 0, now) {
            Some(Change::Begins) => {
                let text = format!("cannot accept a connection: {why}");
                tracing::error!(open_files = process::open_files(), "{text}");
                self.alarms.raise("accept", Alarm { kind: "accept", text, since: now });
            }
            Some(Change::Ends(failed)) => {
                let (lasted_s, failures, _) = numbers(&failed);
                tracing::warn!(lasted_s, failures, "connections can be accepted again");
                self.alarms.clear("accept");
            }
            None => {}
        }
    }
}

impl Shortage {
    /// It was not there so often, ever, and somebody waits for it still; so much of it is in use.
    fn look(&mut self, lacked: u64, is_waited_for: bool, used: u64, now: Instant) -> Option<Change> {
        let more = lacked - std::mem::replace(&mut self.lacked, lacked);
        if more > 0 || is_waited_for {
            let begins = self.episode.is_none();
            self.episode.get_or_insert_with(|| Episode::begin(now)).seen(now, more, used);
            return begins.then_some(Change::Begins);
        }
        self.episode.take_if(|episode| episode.is_over(now)).map(Change::Ends)
    }
}

/// How long it was, how often, and how bad.
fn numbers(episode: &Episode) -> (f64, u64, u64) {
    (episode.lasted_s(), episode.count, episode.peak)
}

impl Queue {
    /// Four fifths full is nearly full; then it is so until it is not even half full.
    fn look(&mut self, Depth { waiting, backlog }: Depth, alarms: &Alarms, now: Instant) {
        let nearly_full = u64::from(waiting) * 5 >= u64::from(backlog) * 4;
        let half_full = u64::from(waiting) * 2 >= u64::from(backlog);
        let address = &self.address;
        let key = format!("accept queue of {address}");
        if nearly_full || (half_full && self.filling.is_some()) {
            let begins = self.filling.is_none();
            self.filling.get_or_insert_with(|| Episode::begin(now)).seen(now, 1, waiting.into());
            if begins {
                let text = format!(
                    "{waiting} connections wait to be accepted at {address}, where {backlog} may; more are refused"
                );
                tracing::warn!(listen = %address, waiting, backlog, "{text}");
                alarms.raise(&key, Alarm { kind: "accept_queue", text, since: now });
            }
        } else if let Some(filling) = self.filling.take_if(|filling| filling.is_over(now)) {
            let (lasted_s, _, peak) = numbers(&filling);
            tracing::warn!(
                listen = %address,
                lasted_s,
                peak,
                "there is room for connections that wait to be accepted again"
            );
            alarms.clear(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Budget, Limits};
    use std::task::Poll;

    const SECOND: Duration = Duration::from_secs(1);

    fn sentry(queues: Vec<Queue>) -> Sentry {
        let limits = Limits { budget: Budget::new(100), ..Limits::default() };
        Sentry { queues, ..Sentry::over([], Connections::new(1), limits.into(), Alarms::default()) }
    }

    fn kinds(sentry: &Sentry) -> Vec<&'static str> {
        sentry.alarms.all().iter().map(|alarm| alarm.kind).collect()
    }

    #[test]
    fn an_accept_queue_is_nearly_full_until_it_is_half_empty_for_a_while() {
        let queue = |address: &str| Queue { address: address.into(), inode: Inode::Unix(1), filling: None };
        let mut sentry = sentry(vec![queue("unix:a"), queue("unix:b")]);
        let mut now = Instant::now();
        for (waiting, expected) in
            [(0, 0), (7, 0), (8, 1), (10, 1), (5, 1), (4, 0), (7, 0), (9, 1), (0, 0), (0, 0)]
        {
            now += SECOND;
            sentry.look(&[Some(Depth { waiting, backlog: 10 }), None], now);
            assert_eq!(kinds(&sentry).len(), expected, "{waiting} of 10 wait");
            assert_eq!(sentry.is_alarmed(), expected > 0);
        }
        sentry.look(&[Some(Depth { waiting: 9, backlog: 10 }), Some(Depth { waiting: 9, backlog: 10 })], now);
        assert_eq!(kinds(&sentry), ["accept_queue"; 2]);
    }

    #[tokio::test]
    async fn places_are_taken_until_nobody_has_waited_for_a_while() {
        let (mut sentry, mut now) = (sentry(Vec::new()), Instant::now());
        let connections = sentry.connections.clone();
        let place = connections.place().await;
        sentry.look(&[], now);
        assert_eq!(kinds(&sentry), [""; 0], "all are taken, and nobody wants more");
        let mut next = Box::pin(connections.place());
        assert!(std::future::poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx).is_pending())).await);
        for _ in 0..5 {
            now += SECOND;
            sentry.look(&[], now);
            assert_eq!(kinds(&sentry), ["connections"]);
        }
        drop(place);
        let _place = next.await;
        now += SECOND;
        sentry.look(&[], now);
        assert_eq!((kinds(&sentry), sentry.is_alarmed()), (vec![], false));
    }

    #[test]
    fn what_cannot_be_accepted_is_one_thing_however_often_it_is_tried() {
        let (mut sentry, mut now) = (sentry(Vec::new()), Instant::now());
        for _ in 0..3 {
            (0..10).for_each(|_| sentry.connections.failed(&std::io::Error::other("no room")));
            sentry.look(&[], now);
            now += SECOND;
        }
        let [alarm] = &sentry.alarms.all()[..] else { panic!("one alarm") };
        assert_eq!((alarm.kind, &*alarm.text), ("accept", "cannot accept a connection: no room"));
        assert_eq!(sentry.accepting.episode.unwrap().count, 30);
        sentry.look(&[], now);
        assert!(!sentry.is_alarmed() && sentry.alarms.all().is_empty());
    }

    #[test]
    fn memory_is_full_until_none_was_refused_for_a_while() {
        let (mut sentry, mut now) = (sentry(Vec::new()), Instant::now());
        let budget = sentry.limits.now().budget.clone();
        let mut share = budget.share();
        share.resize(100).unwrap();
        sentry.look(&[], now);
        assert_eq!(kinds(&sentry), [""; 0], "it is full, and nobody wants more");
        let mut another = budget.share();
        another.resize(1).unwrap_err();
        sentry.look(&[], now);
        assert_eq!(kinds(&sentry), ["memory"]);
        now += SECOND / 2;
        another.resize(1).unwrap_err();
        sentry.look(&[], now);
        now += SECOND / 2;
        sentry.look(&[], now);
        assert_eq!(kinds(&sentry), ["memory"], "it was half a second ago");
        now += SECOND / 2;
        sentry.look(&[], now);
        assert_eq!(kinds(&sentry), [""; 0]);
    }
}
