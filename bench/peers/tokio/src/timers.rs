//! A million timers of one thread: armed, cancelled, armed again and fired.
//!
//! A timer is a Sleep that has been polled once. Cancelling it is dropping it, so it cannot be used again;
//! the memory that it lies in can.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::clock::cpu_time;
use crate::options::{fail, Options};
use crate::random::Random;
use crate::report::Report;
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::task::unconstrained;
use tokio::time::{sleep, Sleep};

const TIMERS: usize = 1_000_000;

/// What all repetitions have in common.
struct Plan {
    long: Vec<Duration>,
    order: Vec<usize>, // of cancelling
    short: Vec<Duration>,
}

fn draw_delays(random: &mut Random, least: u64, range: u64) -> Vec<Duration> {
    (0..TIMERS).map(|_| Duration::from_millis(least + random.next() % range)).collect()
}

impl Plan {
    fn new() -> Plan {
        let mut random = Random::new();
        let long = draw_delays(&mut random, 10_000, 50_000);
        let mut order: Vec<usize> = (0..TIMERS).collect();
        for i in (1..TIMERS).rev() {
            order.swap(i, (random.next() % (i as u64 + 1)) as usize);
        }
        let short = draw_delays(&mut random, 2_000, 1_000);
        Plan { long, order, short }
    }
}

/// Wakes one task when all timers have fired.
struct Counter {
    fired: AtomicUsize,
    all: Notify,
}

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        if self.fired.fetch_add(1, Ordering::Relaxed) + 1 == TIMERS {
            self.all.notify_one();
        }
    }
}

struct Timers {
    slots: Pin<Box<[Option<Sleep>]>>,
    counter: Arc<Counter>,
    waker: Waker,
}

impl Timers {
    fn new() -> Timers {
        let slots: Vec<Option<Sleep>> = (0..TIMERS).map(|_| None).collect();
        let counter = Arc::new(Counter { fired: AtomicUsize::new(0), all: Notify::new() });
        let waker = Waker::from(counter.clone());
        Timers { slots: Box::into_pin(slots.into_boxed_slice()), counter, waker }
    }

    fn slot(&mut self, i: usize) -> Pin<&mut Option<Sleep>> {
        // SAFETY: nothing else moves what is in the slots out of them.
        unsafe { self.slots.as_mut().map_unchecked_mut(|slots| &mut slots[i]) }
    }

    fn arm(&mut self, delays: &[Duration]) {
        let waker = self.waker.clone();
        let mut context = Context::from_waker(&waker);
        for (i, delay) in delays.iter().enumerate() {
            let mut slot = self.slot(i);
            slot.set(Some(sleep(*delay)));
            let armed = slot.as_pin_mut().map(|timer| timer.poll(&mut context));
            assert_eq!(armed, Some(Poll::Pending));
        }
    }

    fn cancel(&mut self, order: &[usize]) {
        for &i in order {
            self.slot(i).set(None);
        }
        assert_eq!(self.counter.fired.load(Ordering::Relaxed), 0);
    }

    async fn run_until_all_fired(&self) {
        self.counter.all.notified().await;
        self.counter.fired.store(0, Ordering::Relaxed);
    }
}

fn per_timer(began: u64) -> f64 {
    (cpu_time() - began) as f64 / TIMERS as f64
}

/// One repetition: what it takes to arm, cancel and fire a timer.
async fn measure(plan: &Plan, timers: &mut Timers) -> [f64; 3] {
    let began = cpu_time();
    timers.arm(&plan.long);
    let arm = per_timer(began);

    let began = cpu_time();
    timers.cancel(&plan.order);
    let cancel = per_timer(began);

    timers.arm(&plan.short);
    let began = cpu_time();
    timers.run_until_all_fired().await;
    [arm, cancel, per_timer(began)]
}

async fn measure_all(repetitions: usize) -> Vec<[f64; 3]> {
    let plan = Plan::new();
    let mut timers = Timers::new();
    let mut values = Vec::with_capacity(repetitions);
    measure(&plan, &mut timers).await; // warms up
    for _ in 0..repetitions {
        values.push(measure(&plan, &mut timers).await);
    }
    values
}

pub fn run(options: &Options) {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap_or_else(|error| fail(&format!("no runtime: {error}")));
    // A task may poll a hundred timers or so, and then only once it has let the others go on.
    let values = runtime.block_on(unconstrained(measure_all(options.repeat)));
    let mut report = Report::new(options.json);
    for (i, name) in ["timer_arm", "timer_cancel", "timer_fire"].into_iter().enumerate() {
        report.figure(name, values.iter().map(|figures| figures[i]).collect());
    }
    report.end();
}
