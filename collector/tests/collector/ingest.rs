//! Sensors that do as they should, and those that do not.

use std::time::Duration;

use mcp_sensor_proto::v1::connect_request::Frame;
use mcp_sensor_proto::v1::{Batch, Event, Hello, ListSensorsRequest, Pulse, QueryRequest, Sensor as SensorState};
use prost::Message as _;
use tonic::Code;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_stored_as_it_came() {
    let running = start().await;
    let mut sensor = running.sensor(1).await;
    assert_eq!(sensor.welcome.acknowledged, 0);
    let sent = events(1, 1..=250);
    for part in sent.chunks(100) {
        sensor.send(part).await;
    }
    sensor.acked(250).await;
    let stored = running.query(QueryRequest { page_size: 70, ..QueryRequest::default() }).await;
    let found: Vec<_> = stored.iter().map(|stored| stored.event.clone().unwrap()).collect();
    assert_eq!(found, sent);
    assert!(stored.is_sorted_by(|a, b| a.cursor < b.cursor));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_again_is_stored_once() {
    let running = start().await;
    let mut first = running.sensor(1).await;
    first.send(&events(1, 1..=10)).await;
    first.acked(10).await;
    drop(first);
    // The same run sends a part again, and goes on.
    let mut second = running.sensor(1).await;
    assert_eq!(second.welcome.acknowledged, 10);
    second.send(&events(1, 5..=15)).await;
    second.acked(15).await;
    // Only what came before: acknowledged at once, for nothing is to be stored.
    second.send(&events(1, 16..=16)).await;
    second.acked(16).await;
    drop(second);
    // Another run sends the same events under its own numbers.
    let mut other = running.sensor(2).await;
    let again: Vec<_> = (1..=3).map(|sequence| Event { sequence, ..event(1, sequence + 3) }).collect();
    other.send(&again).await;
    other.acked(3).await;
    let stored = running.query(QueryRequest::default()).await;
    assert_eq!(sequences(&stored), (1..=16).collect::<Vec<_>>());
    assert_eq!(running.status().await.duplicates, 6 + 3);
    assert_eq!(running.status().await.events, 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_are_known_after_a_restart() {
    let running = start().await;
    let mut sensor = running.sensor(1).await;
    sensor.send(&events(1, 1..=10)).await;
    sensor.acked(10).await;
    let directory = running.stop().await;
    let running = start_in(directory, |_| {}).await;
    let sensor = running.sensor(1).await;
    assert_eq!(sensor.welcome.acknowledged, 10);
    let mut other = running.sensor(2).await;
    other.send(&[Event { sequence: 1, ..event(1, 4) }, event(2, 2)]).await;
    other.acked(2).await;
    assert_eq!(running.query(QueryRequest::default()).await.len(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_stream_of_a_run_takes_the_place_of_the_first() {
    let running = start().await;
    let mut first = running.sensor(1).await;
    let mut second = running.sensor(1).await;
    assert_eq!(first.end().await.code(), Code::Aborted);
    second.send(&events(1, 1..=1)).await;
    second.acked(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_collector_stores_what_it_took_and_says_that_it_stops() {
    let running = start().await;
    let mut sensor = running.sensor(1).await;
    sensor.send(&events(1, 1..=10)).await;
    sensor.acked(10).await;
    let mut subscriber = running.subscribe(Default::default()).await;
    subscriber.live().await;
    let finishing = tokio::spawn(running.stop());
    assert_eq!(sensor.end().await.code(), Code::Unavailable);
    assert_eq!(soon(subscriber.stream.message()).await.unwrap_err().code(), Code::Unavailable);
    drop((sensor, subscriber));
    soon(finishing).await.unwrap();
}

/// Sends frames after Hello and tells how the stream ends.
async fn refused(running: &Running, frames: Vec<Frame>) -> Code {
    let mut sensor = running.sensor(1).await;
    for each in frames {
        if sensor.requests.send(frame(each)).await.is_err() {
            break;
        }
    }
    sensor.end().await.code()
}

fn raw(events: Vec<Vec<u8>>) -> Frame {
    Frame::Batch(Batch { events })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_sensor_is_refused_with_the_reason_and_counted() {
    let running = start_with(|settings| {
        settings.limits.event_bytes = 4096;
        settings.limits.batch_bytes = 8192;
        settings.limits.window_bytes = 65536;
    })
    .await;
    let encoded = |event: Event| raw(vec![event.encode_to_vec()]);
    let big = |bytes: usize| vec![0x0a_u8].into_iter().chain(std::iter::repeat_n(b'x', bytes)).collect::<Vec<u8>>();
    let cases: Vec<(&str, Vec<Frame>, Code)> = vec![
        ("malformed events", vec![raw(vec![vec![0xff; 20]])], Code::InvalidArgument),
        ("malformed events", vec![raw(vec![vec![0x0a, 1, 0xff]])], Code::InvalidArgument),
        ("malformed events", vec![encoded(Event { id: "7".to_owned(), ..event(1, 1) })], Code::InvalidArgument),
        ("malformed events", vec![encoded(Event { time: None, ..event(1, 1) })], Code::InvalidArgument),
        ("events of another node", vec![encoded(Event { node: "other".to_owned(), ..event(1, 1) })], Code::InvalidArgument),
        ("sequences that do not grow", vec![encoded(event(1, 5)), encoded(event(1, 4))], Code::InvalidArgument),
        ("sequences that do not grow", vec![encoded(Event { sequence: 0, ..event(1, 1) })], Code::InvalidArgument),
        ("sequences that do not grow", vec![encoded(Event { sequence: u64::MAX, ..event(1, 1) })], Code::InvalidArgument),
        ("frames out of place", vec![Frame::Hello(hello(1))], Code::InvalidArgument),
        ("too big", vec![raw(vec![big(5000)])], Code::ResourceExhausted),
        ("too big", vec![raw(vec![big(3000), big(3000), big(3000)])], Code::ResourceExhausted),
        ("too big", vec![raw(vec![big(1_000_000)])], Code::ResourceExhausted),
    ];
    for (reason, frames, code) in cases {
        let before = running.refused(reason).await;
        assert_eq!(refused(&running, frames).await, code, "{reason}");
        assert_eq!(running.refused(reason).await, before + 1, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_begin_with_hello_is_refused() {
    let running = start_with(|settings| settings.limits.hello = Duration::from_millis(200)).await;
    let (requests, mut answers) = open(running.channel.clone()).await;
    assert_eq!(end(&mut answers).await.code(), Code::DeadlineExceeded);
    drop(requests);
    assert_eq!(running.refused("no Hello in time").await, 1);
    for first in
        [Frame::Pulse(Pulse::default()), Frame::Hello(Hello { run_id: "x".to_owned(), ..hello(1) }), Frame::Hello(Hello::default())]
    {
        let (requests, mut answers) = open(running.channel.clone()).await;
        requests.send(frame(first)).await.unwrap();
        assert_eq!(end(&mut answers).await.code(), Code::InvalidArgument);
    }
    let of_other = Frame::Hello(Hello { node: "other".to_owned(), ..hello(7) });
    let _sensor = running.sensor(7).await;
    let (requests, mut answers) = open(running.channel.clone()).await;
    requests.send(frame(of_other)).await.unwrap();
    assert_eq!(end(&mut answers).await.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn sensors_beyond_the_limit_are_refused() {
    let running = start_with(|settings| settings.limits.sensors = 1).await;
    let first = running.sensor(1).await;
    let refused = Sensor::connect(running.channel.clone(), 2).await.map(|_| ()).unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    drop(first);
    let again = async {
        while Sensor::connect(running.channel.clone(), 2).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon(again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sensor_is_told_with_its_version_lag_losses_and_blind_spots() {
    use mcp_sensor_proto::v1::{BlindSpot, Loss, event::Body, loss::Count};
    let running = start().await;
    let mut sensor = running.sensor(1).await;
    let own = SensorState {
        state: 3,
        loss: Some(Loss { counts: vec![Count { place: 1, reason: 1, count: 12, bytes: 99 }] }),
        blind_spots: vec![BlindSpot { reason: 1, detail: "wolfSSL".to_owned(), ..BlindSpot::default() }],
        ..SensorState::default()
    };
    let told = Event { body: Some(Body::Sensor(own.clone())), session: None, client: None, server: None, ..event(1, 3) };
    // 1 is there, 2 never comes.
    sensor.send(&[event(1, 1), told]).await;
    sensor.acked(3).await;
    sensor.requests.send(frame(Frame::Pulse(Pulse { last_sequence: 10, ..Pulse::default() }))).await.unwrap();
    let status = soon(async {
        loop {
            let listed = running.reader().list_sensors(ListSensorsRequest {}).await.unwrap().into_inner();
            if listed.sensors.first().is_some_and(|sensor| sensor.lag_events == 7) {
                return listed.sensors.into_iter().next().unwrap();
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!((status.node.as_str(), status.version.as_str(), status.connected), ("host", "1", true));
    assert_eq!((status.last_sequence, status.missing_events), (3, 1));
    assert_eq!(status.sensor, Some(own));
    assert!(status.last_seen.is_some() && status.last_event == event(1, 3).time);
}
