//! One thread of the pool: takes a task, does it, survives it.

use super::{
    Prepared, Shared, Timing, batch,
    crew::{Done, Ended, Unstuck, WorkerNumber},
    job::{Job, Ran},
    outcome::Failed,
    queue::{Ready, Task},
    schedule::Assignment,
};
use crate::{
    model::engine::{Engine, Interrupt, RunError},
    os::process,
    telemetry::statistics::Execution,
};
use predictd_protocol::inference::tensor::Tensor;
use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Starts worker `number`: pinned to its cores, or wherever it may run if it stands in for another.
pub(super) fn start(shared: &Arc<Shared>, number: WorkerNumber) -> io::Result<()> {
    let name = if number > shared.options.workers.len() { "spare" } else { "worker" };
    let thread = {
        let shared = Arc::clone(shared);
        thread::Builder::new().name(format!("{name}-{number}")).spawn(move || live(&shared, number))?
    };
    let mut threads = shared.threads();
    threads.retain(|thread| !thread.is_finished());
    threads.push(thread);
    Ok(())
}

fn live(shared: &Arc<Shared>, number: WorkerNumber) {
    if let Some(cpus) = shared.options.workers.get(number - 1).filter(|cpus| !cpus.is_empty())
        && let Err(error) = process::pin_current_thread(cpus)
    {
        tracing::warn!(worker = number, "cannot be pinned, and runs wherever it may: {error}");
    }
    shared.monitor.lock().introduce(number, process::current_thread(), Instant::now());
    while let Some(assignment) = next(shared, number) {
        let (lane, begun) = (Arc::clone(&assignment.lane), assignment.begun);
        let done = work(shared, number, assignment);
        let ended = {
            let (mut schedule, now) = (shared.monitor.lock(), Instant::now());
            schedule.count(number, Done { busy: now - begun, ..done });
            let ended = schedule.end(number, now);
            if schedule.is_crowded() {
                schedule.wake_all();
            }
            ended
        };
        tell(number, &lane, &ended);
        if ended.stuck.is_some() && number <= shared.options.workers.len() {
            // Pushed aside, this thread cannot take its priority back; a new one can.
            match start(shared, number) {
                Ok(()) => return,
                Err(error) => tracing::warn!(worker = number, "goes on with little priority: {error}"),
            }
        }
    }
}

fn tell(number: WorkerNumber, lane: &str, ended: &Ended) {
    if ended.slow {
        let took_ms = ended.took.as_millis();
        tracing::warn!(model = lane, worker = number, took_ms, "the slow run has ended");
    }
    let Some(stuck) = ended.stuck else { return };
    let what = match stuck {
        Unstuck::Open => "the stuck run has ended: the model is open again",
        Unstuck::Closed => "a stuck run has ended; others keep the model closed",
        Unstuck::Gone => "a stuck run has ended, of a model that was replaced or removed since",
    };
    let took_s = ended.took.as_millis() as f64 / 1e3;
    let refused = (stuck == Unstuck::Open).then_some(ended.refused);
    tracing::warn!(model = lane, worker = number, took_s, refused, "{what}");
}

/// Waits for a task; `None` where there is no place for this thread any more.
fn next(shared: &Shared, number: WorkerNumber) -> Option<Assignment> {
    let mut schedule = shared.monitor.lock();
    loop {
        let (now, idle) = (Instant::now(), schedule.idle() + 1);
        if !schedule.is_superfluous(number)
            && let Some(assignment) = schedule.take(number, idle, now)
        {
            if schedule.has_work(now) {
                schedule.wake();
            }
            drop(schedule);
            if assignment.watchdog {
                shared.watchdog.ring();
            }
            return Some(assignment);
        }
        if schedule.leave(number) {
            // What this thread was woken for is another's now, and the others may have to leave too.
            schedule.wake_all();
            drop(schedule);
            shared.watchdog.ring();
            return None;
        }
        schedule = schedule.wait();
    }
}

fn work(shared: &Shared, number: WorkerNumber, assignment: Assignment) -> Done {
    let Assignment { task, lane, engine, interrupt, begun, .. } = assignment;
    match task {
        Task::Prepare(job) => {
            prepare(shared, number, &lane, job, begun);
            Done { prepared: 1, ..Done::default() }
        }
        Task::Run(batch) => {
            let (engine, interrupt) = (&*engine, &*interrupt);
            let mut running = Running { number, lane: &lane, engine, interrupt, done: Done::default() };
            running.run(batch, begun);
            running.done
        }
    }
}

fn prepare(shared: &Shared, number: WorkerNumber, lane: &str, mut job: Job, begun: Instant) {
    // What the work has touched is dropped with it.
    match catch_unwind(AssertUnwindSafe(|| job.work.prepare())) {
        Ok(Some(_)) if !job.caller.is_open() => {}
        Ok(Some(Prepared { tensors, timeout })) => {
            let now = Instant::now();
            job.prepared = now - begun;
            if let Some(timeout) = timeout {
                job.shorten(timeout);
            }
            let requeued = shared.monitor.lock().requeue(number, job, tensors, now);
            match requeued {
                Ok(true) => shared.watchdog.ring(),
                Ok(false) => {}
                Err((caller, why)) => _ = caller.fail(why),
            }
        }
        Ok(None) => {}
        Err(panic) => {
            tracing::error!(model = lane, request_id = %job.request, "making its tensors panicked: {}", message(&*panic));
            job.caller.fail(Failed::Panicked);
        }
    }
}

/// A task of runs for alike requests.
struct Running<'a> {
    number: WorkerNumber,
    lane: &'a str,
    engine: &'a dyn Engine,
    interrupt: &'a Interrupt,
    done: Done,
}

/// Why a run gave nothing.
enum Trouble {
    Terminated,
    Failed(String),
    Panicked,
}

impl Running<'_> {
    fn run(&mut self, mut batch: Vec<Ready>, begun: Instant) {
        batch.retain(|ready| ready.job.caller.is_open());
        if batch.len() <= 1 {
            return batch.into_iter().for_each(|ready| self.run_alone(ready, begun));
        }
        let inputs: Vec<&[Tensor]> = batch.iter().map(|ready| &ready.inputs[..]).collect();
        debug_assert!(inputs.iter().all(|other| other.len() == inputs[0].len()), "alike requests");
        let joined = batch::join(&inputs);
        let rows: Vec<usize> = batch.iter().map(|ready| ready.job.rows).collect();
        let start = Instant::now();
        let result = self.attempt(&joined, rows.iter().sum());
        drop(joined);
        match result {
            Ok(outputs) => {
                let end = Instant::now();
                let Some(parts) = batch::split(&outputs, &rows) else {
                    tracing::warn!(
                        model = self.lane,
                        "its outputs do not have a row for each row; requests are run one by one"
                    );
                    return self.run_each(batch);
                };
                let mut times = Times::new(&batch, [begun, start, end]);
                self.done.requests += batch.len() as u64;
                for (ready, outputs) in batch.into_iter().zip(parts) {
                    self.finish(ready.job, outputs, &mut times);
                }
            }
            Err(Trouble::Terminated) => {
                self.done.requests += batch.len() as u64;
                batch.iter().for_each(|ready| _ = ready.job.caller.fail(Failed::Stopped));
            }
            // One of them may be the cause: the others should not pay for it.
            Err(Trouble::Failed(_) | Trouble::Panicked) => self.run_each(batch),
        }
    }

    fn run_each(&mut self, batch: Vec<Ready>) {
        batch.into_iter().for_each(|ready| self.run_alone(ready, Instant::now()));
    }

    fn run_alone(&mut self, ready: Ready, begun: Instant) {
        if !ready.job.caller.is_open() {
            return;
        }
        let result = self.attempt(&ready.inputs, ready.job.rows);
        self.done.requests += 1;
        let mut times = Times::new(std::slice::from_ref(&ready), [begun, begun, Instant::now()]);
        let Ready { job, inputs, .. } = ready;
        drop(inputs);
        match result {
            Ok(outputs) => self.finish(job, outputs, &mut times),
            Err(Trouble::Failed(reason)) => _ = job.caller.fail(Failed::Run(reason)),
            Err(Trouble::Panicked) => _ = job.caller.fail(Failed::Panicked),
            // Nobody waits any more, or the pool is ending.
            Err(Trouble::Terminated) => _ = job.caller.fail(Failed::Stopped),
        }
    }

    fn attempt(&mut self, inputs: &[Tensor], rows: usize) -> Result<Vec<Tensor>, Trouble> {
        self.done.runs += 1;
        self.done.rows += rows as u64;
        // The engine is used by shared reference and locks what it changes.
        let attempt = match catch_unwind(AssertUnwindSafe(|| self.engine.run(inputs, self.interrupt))) {
            Ok(Ok(outputs)) => Ok(outputs),
            Ok(Err(RunError::Terminated)) => Err(Trouble::Terminated),
            Ok(Err(RunError::Failed(reason))) => Err(Trouble::Failed(reason)),
            Err(panic) => {
                tracing::error!(
                    model = self.lane,
                    worker = self.number,
                    "a run panicked: {}",
                    message(&*panic)
                );
                Err(Trouble::Panicked)
            }
        };
        self.done.terminated += u64::from(matches!(attempt, Err(Trouble::Terminated)));
        self.done.failed += u64::from(matches!(attempt, Err(Trouble::Failed(_) | Trouble::Panicked)));
        attempt
    }

    fn finish(&self, mut job: Job, outputs: Vec<Tensor>, times: &mut Times) {
        if !job.caller.is_open() {
            return;
        }
        let timing = Timing { worker: self.number, ..times.of(&job) };
        let Times { end: ended, execution, .. } = times;
        let ran = Ran { outputs, rows: job.rows, timing, ended: *ended, execution };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job.work.finish(ran))) {
            tracing::error!(model = self.lane, request_id = %job.request, "making its answer panicked: {}", message(&*panic));
            job.caller.fail(Failed::Panicked);
        }
    }
}

/// When what was done in a run.
struct Times {
    begun: Instant,
    /// Of the model's run itself.
    start: Instant,
    end: Instant,
    rows: usize,
    execution: Execution,
}

impl Times {
    fn new(batch: &[Ready], [begun, start, end]: [Instant; 3]) -> Self {
        let rows = batch.iter().map(|ready| ready.job.rows).sum();
        let prepared: Duration = batch.iter().map(|ready| ready.job.prepared).sum();
        let execution = Execution::new(rows, prepared + (start - begun), end - start, end);
        Self { begun, start, end, rows, execution }
    }

    /// What a request of the batch took so far.
    fn of(&self, job: &Job) -> Timing {
        Timing {
            queue_wait: (self.begun - job.submitted).saturating_sub(job.prepared),
            prepare: job.prepared + (self.start - self.begun),
            run: self.end - self.start,
            batch_rows: self.rows,
            ..Timing::default()
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
