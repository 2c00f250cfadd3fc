//! Subscribers: nothing lost, nothing twice, and nobody waits for the slow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mcp_sensor_proto::v1::event::Body;
use mcp_sensor_proto::v1::subscribe_request::Start;
use mcp_sensor_proto::v1::{Event, Filter, Missed, QueryRequest, SubscribeRequest};
use tonic::Code;

use crate::support::*;

fn after(cursor: u64) -> SubscribeRequest {
    SubscribeRequest { start: Some(Start::AfterCursor(cursor)), ..SubscribeRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_from_anywhere_is_what_was_ingested_in_order_each_once() {
    const TOTAL: u64 = 20_000;
    const STORED: u64 = 8_000;
    // Less than half of what the log holds.
    const AHEAD: u64 = 2_000;
    // A small log, so that both ways, over the store and over the log, are taken.
    let running = start_with(|settings| {
        settings.limits.live_bytes = 4 << 20;
        settings.store.partition_events = Some(3_000);
    })
    .await;
    let mut sensor = running.sensor(1).await;
    for from in (1..=STORED).step_by(500) {
        sensor.send(&events(1, from..from + 500)).await;
    }
    sensor.acked(STORED).await;
    let first = running.query(QueryRequest { page_size: 300, ..QueryRequest::default() }).await;
    let (early, later) = (first[0].cursor, first[299].cursor);
    let places: Arc<[AtomicU64; 5]> = Arc::default();
    let seen = Arc::clone(&places);
    let sending = tokio::spawn(async move {
        for from in (STORED + 1..=TOTAL).step_by(100) {
            while seen.iter().any(|place| place.load(Ordering::Relaxed) + AHEAD < from) {
                tokio::task::yield_now().await;
            }
            sensor.send(&events(1, from..from + 100)).await;
        }
        sensor.acked(TOTAL).await;
    });
    let starts = [
        (Start::AfterCursor(early), 2),
        (Start::AfterCursor(later), 301),
        (Start::From(event(1, 1).time.unwrap()), 1),
        (Start::From(event(1, 400).time.unwrap()), 400),
        (Start::From(event(1, 10_000).time.unwrap()), 10_000),
    ];
    let mut subscribers = Vec::new();
    for (number, (start, from)) in starts.into_iter().enumerate() {
        let places = Arc::clone(&places);
        places[number].store(from - 1, Ordering::Relaxed);
        let mut subscriber = running.subscribe(SubscribeRequest { start: Some(start), ..SubscribeRequest::default() }).await;
        subscribers.push(tokio::spawn(async move {
            let mut events = Vec::new();
            while events.len() as u64 + from <= TOTAL {
                let (one, missed) = subscriber.events(1).await;
                assert_eq!(missed, []);
                events.extend(one);
                places[number].store(from - 1 + events.len() as u64, Ordering::Relaxed);
            }
            let found: Vec<_> = events.iter().map(|(_, event)| event.sequence).collect();
            assert_eq!(found, (from..=TOTAL).collect::<Vec<_>>());
            assert!(events.is_sorted_by(|a, b| a.0 < b.0), "cursors grow");
        }));
    }
    for subscriber in subscribers {
        soon(subscriber).await.unwrap();
    }
    soon(sending).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_subscriber_is_told_exactly_what_it_missed_and_another_misses_nothing() {
    const TOTAL: u64 = 6_000;
    let running = start_with(|settings| settings.limits.live_bytes = 1 << 20).await;
    let tools = || Filter { tools: vec!["tool_[12]".replace("[12]", "1"), "tool_2".to_owned()], ..Filter::default() };
    let request = || SubscribeRequest { filter: Some(tools()), ..SubscribeRequest::default() };
    let mut slow = running.subscribe(request()).await;
    let mut quick = running.subscribe(request()).await;
    slow.live().await;
    quick.live().await;
    let mut sensor = running.sensor(1).await;
    let wanted = (1..=TOTAL).filter(|sequence| matches!(sequence % 5, 1 | 2)).count();
    let reading = tokio::spawn(async move { quick.events(wanted).await });
    // What flow control lets a subscriber have that does not read is less than these.
    let padded = |sequence| {
        let mut event = event(1, sequence);
        if let Some(Body::ToolCall(call)) = &mut event.body {
            call.result = format!("\"{}\"", "x".repeat(2_000));
        }
        event
    };
    for from in (1..=TOTAL).step_by(200) {
        sensor.send(&(from..from + 200).map(padded).collect::<Vec<_>>()).await;
        // As fast as the quick one can read.
        sensor.acked(from + 199).await;
    }
    let (events, missed) = soon(reading).await.unwrap();
    assert_eq!((events.len(), missed), (wanted, Vec::new()));
    let all: BTreeMap<u64, u64> = events.iter().map(|(cursor, event)| (*cursor, event.sequence)).collect();

    let (got, missed) = slow.events(wanted).await;
    assert!(!missed.is_empty(), "it was slow");
    let mut told: BTreeMap<u64, u64> = got.iter().map(|(cursor, event)| (*cursor, event.sequence)).collect();
    for Missed { events, first_cursor, last_cursor } in missed {
        let between: Vec<_> = all.range(first_cursor..=last_cursor).collect();
        assert_eq!((between.len() as u64, *between[0].0, *between[between.len() - 1].0), (events, first_cursor, last_cursor));
        for (cursor, sequence) in between {
            assert_eq!(told.insert(*cursor, *sequence), None, "nothing is both sent and told as missed");
        }
    }
    assert_eq!(told, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_from_now_begins_now() {
    let running = start().await;
    let mut sensor = running.sensor(1).await;
    sensor.send(&events(1, 1..=10)).await;
    sensor.acked(10).await;
    let mut subscriber = running.subscribe(SubscribeRequest::default()).await;
    subscriber.live().await;
    sensor.send(&events(1, 11..=12)).await;
    let (events, _) = subscriber.events(2).await;
    assert_eq!(events.iter().map(|(_, event)| event.sequence).collect::<Vec<_>>(), [11, 12]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_is_gone_is_out_of_range_unless_a_gap_is_allowed() {
    let running = start_with(|settings| {
        settings.store.partition_events = Some(100);
        settings.store.max_bytes = Some(1);
        settings.store.chores = Some(std::time::Duration::ZERO);
        settings.limits.live_bytes = 1;
    })
    .await;
    let mut sensor = running.sensor(1).await;
    let mut subscriber = running.subscribe(SubscribeRequest::default()).await;
    sensor.send(&events(1, 1..=50)).await;
    sensor.acked(50).await;
    let cursor = subscriber.events(50).await.0[0].0;
    sensor.send(&events(1, 51..=400)).await;
    sensor.acked(400).await;
    soon(async {
        while running.server.store().deleted() <= cursor {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let status = running.reader().subscribe(after(cursor)).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    let status = running.reader().subscribe(after(u64::MAX >> 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    let mut resumed = running.subscribe(SubscribeRequest { allow_gap: true, ..after(cursor) }).await;
    sensor.send(&events(1, 401..=401)).await;
    let (events, _) = resumed.events(1).await;
    assert!(events[0].1.sequence > 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_beyond_the_limit_are_refused_and_places_come_back() {
    let running = start_with(|settings| settings.limits.subscribers = 1).await;
    let first = running.subscribe(SubscribeRequest::default()).await;
    let refused = running.reader().subscribe(SubscribeRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(running.refused("too many subscribers").await, 1);
    drop(first);
    soon(async {
        while running.reader().subscribe(SubscribeRequest::default()).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_any_version_pass_as_they_came() {
    use prost::Message as _;
    let running = start().await;
    let mut subscriber = running.subscribe(SubscribeRequest::default()).await;
    let sensor = running.sensor(1).await;
    // A body of a later version: field 99.
    let mut bytes = Event { body: None, ..event(1, 1) }.encode_to_vec();
    bytes.extend_from_slice(&[0x9a, 0x06, 2, 0x08, 1]);
    sensor
        .requests
        .send(frame(mcp_sensor_proto::v1::connect_request::Frame::Batch(mcp_sensor_proto::v1::Batch { events: vec![bytes] })))
        .await
        .unwrap();
    let (events, _) = subscriber.events(1).await;
    assert_eq!(events[0].1.body, None);
}
