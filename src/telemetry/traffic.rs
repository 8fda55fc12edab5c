//! The requests that a server's addresses have taken, by wire, route and status: each is counted when it has come, and once
//! more for what became of it.
//!
//! received = answered + aborted + under way. A route is the template of a path, never the path itself, so that clients cannot
//! make more of them; nothing here allocates or locks.

use super::histogram::{Histogram, SharedHistogram};
use http::StatusCode;
use predictd_protocol::gateway::detect::Wire;
use std::{
    array,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The counts; all clones share them.
#[derive(Clone, Debug, Default)]
pub struct Traffic(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    /// From a path to a place in `routes`.
    places: matchit::Router<usize>,
    routes: Vec<String>,
    wires: [OfWire; Wire::ALL.len()],
    /// Bytes of answers by the worker that made them; none made the first.
    sent: Vec<AtomicU64>,
}

#[derive(Debug)]
struct OfWire {
    received: AtomicU64,
    aborted: AtomicU64,
    /// A place more than there are routes, for what has none.
    routes: Vec<OfRoute>,
}

#[derive(Debug, Default)]
struct OfRoute {
    /// A place more than there are statuses, for all others.
    answered: [AtomicU64; STATUSES.len() + 1],
    time: SharedHistogram,
}

/// The statuses that are counted each by itself: all that the server's own routes give.
const STATUSES: [u16; 19] =
    [200, 204, 304, 400, 401, 403, 404, 405, 408, 409, 411, 413, 414, 415, 422, 431, 500, 503, 504];

/// Workers whose answers are counted, by their numbers: more than there are cores.
const WORKERS: usize = 1024;

impl Default for Counts {
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

impl Counts {
    fn of(routes: Vec<String>) -> Self {
        let mut places = matchit::Router::new();
        for (place, route) in routes.iter().enumerate() {
            // What cannot be told from another counts with that.
            let _ = places.insert(route.clone(), place);
        }
        let of_wire = |_| OfWire {
            received: AtomicU64::new(0),
            aborted: AtomicU64::new(0),
            routes: (0..=routes.len()).map(|_| OfRoute::default()).collect(),
        };
        let sent = (0..WORKERS).map(|_| AtomicU64::new(0)).collect();
        Self { places, wires: array::from_fn(of_wire), routes, sent }
    }
}

/// What has been counted, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Requests whose clients did not wait for an answer, by wire.
    pub aborted: Vec<(Wire, u64)>,
    /// Requests that have come, by wire.
    pub received: Vec<(Wire, u64)>,
    /// Those that were answered: only what there is of wires and routes.
    pub answered: Vec<Answered>,
}

/// Requests of one wire to one route that were answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The wire.
    pub wire: Wire,
    /// The template of the paths; empty where there is no route, or where a request was refused before it had a path.
    pub route: String,
    /// How many were answered by which status; `None` for statuses that are none of the server's own.
    pub statuses: Vec<(Option<u16>, u64)>,
    /// From when they were there in full until they had their answers.
    pub time: Histogram,
}

impl Traffic {
    /// Nothing yet, of a server that has these `routes`, written as axum's.
    pub fn of<'a>(routes: impl IntoIterator<Item = &'a str>) -> Self {
        Self(Arc::new(Counts::of(routes.into_iter().map(str::to_owned).collect())))
    }

    /// A request has come.
    #[must_use]
    pub fn begin(&self, wire: Wire, path: &str) -> UnderWay {
        let Counts { places, routes, .. } = &*self.0;
        let route = places.at(path).map_or(routes.len(), |found| *found.value);
        self.begin_at(wire, route)
    }

    /// A request has come, and nothing that could be read of it.
    #[must_use]
    pub fn begin_unread(&self, wire: Wire) -> UnderWay {
        self.begin_at(wire, self.0.routes.len())
    }

    fn begin_at(&self, wire: Wire, route: usize) -> UnderWay {
        self.of_wire(wire).received.fetch_add(1, Ordering::Relaxed);
        UnderWay { traffic: self.clone(), wire, route, begun: Instant::now(), answered: false }
    }

    /// Requests that have come and have no answer yet.
    #[must_use]
    pub fn under_way(&self) -> u64 {
        let of_wire = |of: &OfWire| {
            let over = of.answered() + of.aborted.load(Ordering::Relaxed);
            of.received.load(Ordering::Relaxed).saturating_sub(over)
        };
        self.0.wires.iter().map(of_wire).sum()
    }

    /// Requests that were answered, ever.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.0.wires.iter().map(OfWire::answered).sum()
    }

    /// Bytes of the bodies of answers that `worker` made.
    #[must_use]
    pub fn sent(&self, worker: usize) -> u64 {
        self.0.sent.get(worker).map_or(0, |sent| sent.load(Ordering::Relaxed))
    }

    /// All counts.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        for wire in Wire::ALL {
            let of = self.of_wire(wire);
            // What is over first: it has been received.
            figures.answered.extend(of.routes.iter().enumerate().filter_map(|(at, of)| {
                let route = self.0.routes.get(at).cloned().unwrap_or_default();
                let statuses = of.statuses();
                (!statuses.is_empty()).then(|| Answered { wire, route, statuses, time: of.time.look() })
            }));
            figures.aborted.push((wire, of.aborted.load(Ordering::Relaxed)));
            figures.received.push((wire, of.received.load(Ordering::Relaxed)));
        }
        figures
    }

    fn of_wire(&self, wire: Wire) -> &OfWire {
        &self.0.wires[wire as usize]
    }
}

impl OfWire {
    fn answered(&self) -> u64 {
        let of_route =
            |of: &OfRoute| of.answered.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
        self.routes.iter().map(of_route).sum()
    }
}

impl OfRoute {
    fn statuses(&self) -> Vec<(Option<u16>, u64)> {
        let names = STATUSES.into_iter().map(Some).chain([None]);
        let counts = self.answered.iter().map(|count| count.load(Ordering::Relaxed));
        names.zip(counts).filter(|(_, count)| *count > 0).collect()
    }
}

/// A request that has come. Dropped before it is answered, it is one that nobody waited for.
#[derive(Debug)]
pub struct UnderWay {
    traffic: Traffic,
    wire: Wire,
    route: usize,
    begun: Instant,
    answered: bool,
}

impl UnderWay {
    /// By which wire it came.
    #[must_use]
    pub fn wire(&self) -> Wire {
        self.wire
    }

    /// It has its answer; gives how long that took.
    pub fn answered(&mut self, status: StatusCode) -> Duration {
        let took = self.begun.elapsed();
        if !std::mem::replace(&mut self.answered, true) {
            let of = &self.traffic.of_wire(self.wire).routes[self.route];
            let place = STATUSES.binary_search(&status.as_u16()).unwrap_or(STATUSES.len());
            of.answered[place].fetch_add(1, Ordering::Relaxed);
            of.time.record(took);
        }
        took
    }

    /// Its answer has a body of so many `bytes`, which `worker` made; number 0 is for what none made.
    pub fn sent(&self, worker: usize, bytes: usize) {
        if let Some(sent) = self.traffic.0.sent.get(worker) {
            sent.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// How long it has been there.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.answered {
            self.traffic.of_wire(self.wire).aborted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_counted_once_for_what_became_of_it() {
        assert!(STATUSES.is_sorted());
        assert_eq!(Wire::ALL.map(|wire| wire as usize), [0, 1, 2]);
        let traffic = Traffic::of(["/m/{model}", "/m/stats", "/v2/"]);
        let ask = |wire, path: &str, status| {
            traffic.begin(wire, path).answered(StatusCode::from_u16(status).unwrap());
        };
        ask(Wire::Uwsgi, "/m/iris", 200);
        ask(Wire::Uwsgi, "/m/another", 200);
        ask(Wire::Uwsgi, "/m/another", 404);
        ask(Wire::Uwsgi, "/m/stats", 200);
        ask(Wire::Http, "/nothing/of/the/kind", 404);
        ask(Wire::Http, "/m/x", 299);
        traffic.begin_unread(Wire::Http).answered(StatusCode::BAD_REQUEST);
        drop(traffic.begin(Wire::FastCgi, "/m/iris"));
        let held = traffic.begin(Wire::FastCgi, "/m/iris");
        assert_eq!((traffic.answered(), traffic.under_way()), (7, 1));
        let figures = traffic.figures();
        assert_eq!(figures.received, [(Wire::Uwsgi, 4), (Wire::FastCgi, 2), (Wire::Http, 3)]);
        assert_eq!(figures.aborted, [(Wire::Uwsgi, 0), (Wire::FastCgi, 1), (Wire::Http, 0)]);
        let answered: Vec<_> = figures
            .answered
            .iter()
            .map(|of| (of.wire, of.route.as_str(), of.statuses.clone(), of.time.count()))
            .collect();
        assert_eq!(
            answered,
            [
                (Wire::Uwsgi, "/m/{model}", vec![(Some(200), 2), (Some(404), 1)], 3),
                (Wire::Uwsgi, "/m/stats", vec![(Some(200), 1)], 1),
                (Wire::Http, "/m/{model}", vec![(None, 1)], 1),
                (Wire::Http, "", vec![(Some(400), 1), (Some(404), 1)], 2),
            ]
        );
        drop(held);
        assert_eq!((traffic.under_way(), traffic.figures().aborted[1].1), (0, 2));
    }

    #[test]
    fn an_answer_counts_once() {
        let traffic = Traffic::default();
        let mut request = traffic.begin(Wire::Http, "/");
        request.answered(StatusCode::OK);
        request.answered(StatusCode::NOT_FOUND);
        // No worker is called that.
        for (worker, bytes) in [(0, 1), (1, 20), (1, 300), (WORKERS, 4000)] {
            request.sent(worker, bytes);
        }
        assert_eq!([0, 1, 2, WORKERS].map(|worker| traffic.sent(worker)), [1, 320, 0, 0]);
        drop(request);
        assert_eq!((traffic.answered(), traffic.under_way()), (1, 0));
    }
}
