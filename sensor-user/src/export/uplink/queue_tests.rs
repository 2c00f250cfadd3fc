use proptest::prelude::*;

use super::*;

const GRANT: Grant = Grant { window_bytes: 1 << 20, max_event_bytes: 0, max_batch_bytes: 0 };

/// An event of that size; it begins with its sequence.
fn event(sequence: u64, length: usize) -> Arc<[u8]> {
    let mut bytes = sequence.to_le_bytes().to_vec();
    bytes.resize(length.max(8), 0);
    Arc::from(bytes)
}

fn sequence_of(event: &[u8]) -> u64 {
    u64::from_le_bytes(event[..8].try_into().unwrap())
}

fn filled(limits: Limits, severities: &[u8]) -> (Queue, Vec<u64>) {
    let mut queue = Queue::new(limits);
    let mut dropped = Vec::new();
    for (position, severity) in severities.iter().enumerate() {
        let sequence = position as u64 + 1;
        dropped.extend(queue.push(sequence, *severity, event(sequence, 10)).iter().map(|dropped| dropped.sequence));
    }
    (queue, dropped)
}

fn taken(queue: &mut Queue) -> Vec<u64> {
    queue.take().0.iter().map(|event| sequence_of(event)).collect()
}

fn events(number: usize) -> Limits {
    Limits { bytes: 1 << 20, events: number }
}

#[test]
fn the_least_severe_go_first_and_of_those_the_oldest() {
    let (mut queue, dropped) = filled(events(4), &[4, 1, 2, 1, 1, 2, 5, 3]);
    assert_eq!(dropped, [2, 4, 5, 3]);
    queue.connected(0, GRANT).unwrap();
    assert_eq!(taken(&mut queue), [1, 6, 7, 8]);
}

#[test]
fn an_event_less_severe_than_all_others_goes_itself() {
    let (_, dropped) = filled(events(2), &[4, 4, 1]);
    assert_eq!(dropped, [3]);
}

#[test]
fn what_is_under_way_goes_after_its_equals_and_before_what_is_more_severe() {
    let (mut queue, _) = filled(events(3), &[1, 1]);
    queue.connected(0, GRANT).unwrap();
    assert_eq!(taken(&mut queue), [1, 2]);
    let mut drops = |sequence, severity| -> Vec<u64> {
        queue.push(sequence, severity, event(sequence, 10)).iter().map(|dropped| dropped.sequence).collect()
    };
    assert!(drops(3, 1).is_empty());
    assert_eq!(drops(4, 1), [3]);
    assert_eq!(drops(5, 2), [4]);
    assert_eq!(drops(6, 2), [1]);
}

#[test]
fn after_a_connection_everything_unacknowledged_goes_again_in_order() {
    let (mut queue, _) = filled(events(10), &[1, 2, 1, 2, 1]);
    queue.connected(0, GRANT).unwrap();
    assert_eq!(taken(&mut queue), [1, 2, 3, 4, 5]);
    queue.acknowledge(2, 1 << 20).unwrap();
    queue.disconnected();
    assert!(taken(&mut queue).is_empty());
    queue.connected(3, GRANT).unwrap();
    assert_eq!(taken(&mut queue), [4, 5]);
    assert_eq!(queue.first(), 4);
    queue.acknowledge(5, 1 << 20).unwrap();
    assert_eq!(queue.first(), 6);
    // A collector that has lost what it acknowledged gets what is still here.
    queue.connected(0, GRANT).unwrap();
    assert!(taken(&mut queue).is_empty());
}

#[test]
fn the_window_holds_but_for_a_single_event() {
    let (mut queue, _) = filled(events(10), &[1, 1, 1]);
    queue.connected(0, Grant { window_bytes: 0, ..GRANT }).unwrap();
    for sequence in 1..=3 {
        assert!(queue.has_ready());
        assert_eq!(taken(&mut queue), [sequence]);
        assert!(!queue.has_ready());
        assert!(taken(&mut queue).is_empty());
        queue.acknowledge(sequence, 0).unwrap();
    }
    assert_eq!(queue.accounting().held, Amount::default());
}

#[test]
fn an_event_bigger_than_the_collector_takes_is_dropped_and_told() {
    let mut queue = Queue::new(events(10));
    for sequence in 1..=3 {
        assert!(queue.push(sequence, 2, event(sequence, if sequence == 2 { 9000 } else { 10 })).is_empty());
    }
    queue.connected(0, Grant { max_event_bytes: 8000, ..GRANT }).unwrap();
    let (batch, dropped) = queue.take();
    assert_eq!(batch.len(), 2);
    assert_eq!(dropped, [Dropped { sequence: 2, severity: 2, bytes: 9000, cause: Cause::TooBig }]);
    let huge = queue.push(4, 6, event(4, (1 << 20) + 1));
    assert_eq!(huge[0].cause, Cause::TooBig);
}

#[test]
fn nonsense_changes_nothing() {
    let (mut queue, _) = filled(events(10), &[1, 1, 1]);
    let before = queue.accounting();
    assert_eq!(queue.acknowledge(1, 9), Err(Nonsense::NotConnected(1)));
    assert_eq!(queue.connected(1, GRANT), Err(Nonsense::BeyondSent { acknowledged: 1, sent: 0 }));
    assert!(!queue.has_ready());
    assert_eq!(queue.connected(0, Grant { max_event_bytes: 1, ..GRANT }), Err(Nonsense::TinyEvents(1)));
    queue.connected(0, Grant { max_batch_bytes: 10, ..GRANT }).unwrap();
    assert_eq!(taken(&mut queue), [1]);
    assert_eq!(queue.acknowledge(2, 9), Err(Nonsense::BeyondSent { acknowledged: 2, sent: 1 }));
    assert_eq!(queue.acknowledge(u64::MAX, 9), Err(Nonsense::BeyondSent { acknowledged: u64::MAX, sent: 1 }));
    assert_eq!(queue.accounting(), before);
    assert_eq!(taken(&mut queue), [2]);
    assert_eq!(queue.push(3, 1, event(3, 10))[0].cause, Cause::Disorder);
}

/// What the queue does, in the simplest words.
#[derive(Default)]
struct Model {
    limits: Option<Limits>,
    grant: Option<Grant>,
    held: Vec<(u64, u8, u64)>,
    under_way: Vec<(u64, u64)>,
    cursor: u64,
    acknowledged: u64,
    sent: u64,
    accounting: Accounting,
}

impl Model {
    fn push(&mut self, sequence: u64, severity: u8, length: u64) -> Vec<u64> {
        let limits = self.limits.unwrap();
        self.accounting.pushed.add(length);
        if length > limits.bytes as u64 {
            self.accounting.dropped.add(length);
            return vec![sequence];
        }
        self.held.push((sequence, severity, length));
        let mut dropped = Vec::new();
        while self.held.len() > limits.events || self.held.iter().map(|held| held.2).sum::<u64>() > limits.bytes as u64 {
            // Least severe, then ready before under way, then oldest.
            let order = |(sequence, severity, _): &(u64, u8, u64)| (*severity, *sequence <= self.cursor, *sequence);
            let victim = self.held.iter().copied().min_by_key(order).unwrap();
            dropped.push(self.drop_one(victim));
        }
        dropped
    }

    fn drop_one(&mut self, victim: (u64, u8, u64)) -> u64 {
        self.held.retain(|held| *held != victim);
        self.accounting.dropped.add(victim.2);
        victim.0
    }

    fn connected(&mut self, acknowledged: u64, grant: Grant) -> bool {
        self.disconnected();
        if acknowledged > self.sent {
            return false;
        }
        self.grant = Some(grant);
        self.remove(acknowledged);
        self.cursor = self.acknowledged;
        true
    }

    fn disconnected(&mut self) {
        self.grant = None;
        self.under_way.clear();
        self.cursor = self.acknowledged;
    }

    fn acknowledge(&mut self, sequence: u64, window: u64) -> bool {
        let Some(grant) = &mut self.grant else { return false };
        if sequence > self.cursor {
            return false;
        }
        grant.window_bytes = window;
        self.under_way.retain(|(sent, _)| *sent > sequence);
        self.remove(sequence);
        true
    }

    fn remove(&mut self, sequence: u64) {
        self.acknowledged = self.acknowledged.max(sequence);
        for (_, _, length) in self.held.extract_if(.., |held| held.0 <= sequence) {
            self.accounting.acknowledged.add(length);
        }
    }

    fn take(&mut self) -> (Vec<u64>, Vec<u64>) {
        let (mut batch, mut dropped, mut bytes) = (Vec::new(), Vec::new(), 0);
        let Some(grant) = self.grant else { return (batch, dropped) };
        while let Some(next) = self.held.iter().copied().find(|held| held.0 > self.cursor) {
            let (sequence, _, length) = next;
            if grant.max_event_bytes > 0 && length > grant.max_event_bytes {
                dropped.push(self.drop_one(next));
                continue;
            }
            let under_way: u64 = self.under_way.iter().map(|(_, bytes)| bytes).sum();
            let window = grant.window_bytes.min(self.limits.unwrap().bytes as u64);
            let alone = self.under_way.is_empty();
            let fits = (batch.is_empty() || bytes + length <= grant.max_batch_bytes) && under_way + length <= window;
            if !alone && (!fits || self.under_way.len() >= self.limits.unwrap().events) {
                break;
            }
            batch.push(sequence);
            bytes += length;
            self.under_way.push((sequence, length));
            self.cursor = sequence;
            self.sent = self.sent.max(sequence);
        }
        (batch, dropped)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push { severity: u8, length: usize, skipped: u64 },
    Take,
    Acknowledge { percent: u64, window: u64 },
    Connect { percent: u64, grant: Grant },
    Disconnect,
}

fn step() -> impl Strategy<Value = Step> {
    let grant = (0_u64..20_000, prop_oneof![Just(0_u64), 4096..9000_u64], 1_u64..10_000)
        .prop_map(|(window_bytes, max_event_bytes, max_batch_bytes)| Grant { window_bytes, max_event_bytes, max_batch_bytes });
    prop_oneof![
        8 => (0_u8..7, prop_oneof![9 => 8_usize..500, 1 => 4000_usize..12_000], 0_u64..2)
            .prop_map(|(severity, length, skipped)| Step::Push { severity, length, skipped }),
        4 => Just(Step::Take),
        // Beyond a hundred it is nonsense.
        3 => (0_u64..130, 0_u64..20_000).prop_map(|(percent, window)| Step::Acknowledge { percent, window }),
        1 => (0_u64..130, grant).prop_map(|(percent, grant)| Step::Connect { percent, grant }),
        1 => Just(Step::Disconnect),
    ]
}

proptest! {
    #[test]
    fn the_queue_does_what_the_model_does(
        steps in prop::collection::vec(step(), 0..300),
        bytes in 100_usize..10_000,
        number in 1_usize..40,
    ) {
        let limits = Limits { bytes, events: number };
        let mut queue = Queue::new(limits);
        let mut model = Model { limits: Some(limits), ..Model::default() };
        let mut newest = 0;
        for step in steps {
            match step {
                Step::Push { severity, length, skipped } => {
                    newest += 1 + skipped;
                    let dropped: Vec<u64> = queue.push(newest, severity, event(newest, length)).iter().map(|one| one.sequence).collect();
                    prop_assert_eq!(dropped, model.push(newest, severity, length as u64));
                }
                Step::Take => {
                    let ready = queue.has_ready();
                    let (batch, dropped) = queue.take();
                    prop_assert_eq!(ready, !batch.is_empty() || !dropped.is_empty());
                    let batch: Vec<u64> = batch.iter().map(|event| sequence_of(event)).collect();
                    let dropped: Vec<u64> = dropped.iter().map(|one| one.sequence).collect();
                    prop_assert_eq!((batch, dropped), model.take());
                }
                Step::Acknowledge { percent, window } => {
                    let sequence = model.cursor * percent / 100;
                    prop_assert_eq!(queue.acknowledge(sequence, window).is_ok(), model.acknowledge(sequence, window));
                }
                Step::Connect { percent, grant } => {
                    let acknowledged = model.sent * percent / 100;
                    prop_assert_eq!(queue.connected(acknowledged, grant).is_ok(), model.connected(acknowledged, grant));
                }
                Step::Disconnect => {
                    queue.disconnected();
                    model.disconnected();
                }
            }
            let Accounting { pushed, acknowledged, held, dropped } = queue.accounting();
            prop_assert_eq!(pushed.events, acknowledged.events + held.events + dropped.events);
            prop_assert_eq!(pushed.bytes, acknowledged.bytes + held.bytes + dropped.bytes);
            prop_assert!(held.bytes <= limits.bytes as u64 && held.events <= limits.events as u64);
            prop_assert_eq!(held.events, model.held.len() as u64);
            prop_assert_eq!((acknowledged, dropped), (model.accounting.acknowledged, model.accounting.dropped));
            prop_assert_eq!(queue.first(), model.held.first().map_or(newest + 1, |first| first.0));
            prop_assert!(queue.entries.len() == queue.classes.len() && queue.under_way.len() <= limits.events);
        }
    }
}
