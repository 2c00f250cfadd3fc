//! The sensor is killed between the decision and the signal: whoever it had stopped by then goes on.
//!
//! A kill of one process leaves nothing behind: it was sent, or it was not. One with all descendants stops each of them first,
//! so there is a time in which processes of others stand still and only the sensor knows why. This test kills it then.

use super::{Service, Shell, await_that, children, state};
use rustix::{
    fd::AsFd as _,
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};
use sensor_user::respond::{Guardian, guardian::HELD};
use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Descendants of the server.
const DESCENDANTS: usize = 300;
/// Sensors that are killed.
const TRIES: usize = 30;
/// How long the sensor may take to come to it.
const STARTS: Duration = Duration::from_secs(30);

/// A server with many descendants, all of which end with this value: each child has children of its own.
struct Tree {
    root: Shell,
    all: Vec<u32>,
}

impl Tree {
    fn start() -> Self {
        let each = "(sleep 1000 & sleep 1000 & sleep 1000 & sleep 1000 & exec sleep 1000) &";
        let forks = format!("i=0; while [ $i -lt {} ]; do {each} i=$((i+1)); done; {}", DESCENDANTS / 5, super::SERVE);
        let mut root = Shell::start(&forks);
        // It answers once it has started them.
        root.call();
        root.hear();
        let mut tree = Self { root, all: Vec::new() };
        await_that("all descendants", || {
            tree.all = vec![tree.root.pid()];
            let mut next = 0;
            while let Some(pid) = tree.all.get(next) {
                let below = children(*pid);
                tree.all.extend(below);
                next += 1;
            }
            tree.all.len() == DESCENDANTS + 1
        });
        tree
    }

    fn stopped(&self) -> usize {
        self.all.iter().filter(|pid| state(**pid) == Some('T')).count()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        for pid in &self.all[1..] {
            // Those that are no sleepers any more have ended, and their pids may be another's.
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if line == b"sleep\x001000\0" {
                let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL);
            }
        }
    }
}

#[test]
fn killed_between_the_decision_and_the_signal_nobody_stays_stopped() {
    let (mut hits, mut in_the_kill, mut untouched) = (0, 0, 0);
    let mut tree = Tree::start();
    for number in 0..TRIES {
        if tree.all.iter().any(|pid| super::is_gone(*pid)) {
            tree = Tree::start();
        }
        let service = Service::start("on", &[]);
        tree.root.call();
        tree.root.hear();
        let id = tree.root.session(&service, &[tree.root.pid()]);
        // Another moment each time: the first is stopped, some are, nearly all are; sometimes, the first is dead.
        let (sign, alive): (u32, &[char]) =
            if number % 5 == 4 { (tree.all[0], &['S', 'R', 'T']) } else { (tree.all[number * DESCENDANTS / TRIES], &['S', 'R']) };
        let mut order = Command::new(super::agent());
        order.args(["kill", &id, "--tree", "--json", "--control-socket"]).arg(service.socket());
        let mut order = super::Running::start(order.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
        let deadline = Instant::now() + STARTS;
        while state(sign).is_some_and(|state| alive.contains(&state)) {
            assert!(Instant::now() < deadline, "nobody is stopped");
            std::hint::spin_loop();
        }
        service.child.signal(Signal::KILL);
        let stopped = tree.stopped();
        let gone = tree.all.iter().filter(|pid| super::is_gone(**pid)).count();
        hits += usize::from(stopped > 0);
        in_the_kill += usize::from(stopped > 0 && gone > 0);
        untouched += usize::from(gone == 0);
        await_that("everybody to go on or to be dead", || tree.stopped() == 0);
        order.0.wait().unwrap();
        // The sensor's own end comes after its socket's, which is what the guardian waits for.
        drop(service);
        assert_eq!(tree.stopped(), 0, "try {number}: stopped again");
    }
    // And where nothing comes in between, so large a tree is killed as a whole.
    let mut tree = Tree::start();
    let service = Service::start("on", &[]);
    tree.root.call();
    tree.root.hear();
    let id = tree.root.session(&service, &[tree.root.pid()]);
    let action = service.order(&["kill", &id, "--tree"]);
    assert_eq!(action["outcome"], "DONE", "{action}");
    await_that("the kill", || tree.all.iter().all(|pid| super::is_gone(*pid)));
    println!("{TRIES} sensors killed: {hits} while some were stopped, {in_the_kill} of them amid the kill; {untouched} had killed nobody");
    assert!(hits > 0, "the sensor was never killed in between: the test proves nothing");
}

#[test]
fn a_guardian_takes_no_more_than_it_can_let_go_on() {
    let guardian = Guardian::start_program(&super::agent()).unwrap();
    let sleeper = super::Running::start(Command::new("/bin/sleep").arg("1000").stdin(Stdio::null()));
    let pid = sleeper.0.id();
    let handle = pidfd_open(Pid::from_child(&sleeper.0), PidfdFlags::empty()).unwrap();
    sleeper.signal(Signal::STOP);
    await_that("the stop", || state(pid) == Some('T'));
    let held = (1..).take_while(|number| guardian.hold(*number, handle.as_fd()).is_ok()).count();
    assert_eq!(held, HELD);
    let held = u64::try_from(held).unwrap();
    // What is taken from it makes room; and the last one is held as the first is.
    for number in 1..=held {
        guardian.let_go(number).unwrap();
    }
    for number in 1..held {
        guardian.hold(held + number, handle.as_fd()).unwrap();
        guardian.let_go(held + number).unwrap();
    }
    assert_eq!(state(pid), Some('T'));
    guardian.hold(1, handle.as_fd()).unwrap();
    drop(guardian);
    await_that("the process to go on", || state(pid) != Some('T'));
}
