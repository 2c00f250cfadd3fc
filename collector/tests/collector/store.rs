//! The store from outside: damage, age, size.

use std::time::Duration;

use mcp_sensor_proto::v1::QueryRequest;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database_is_set_aside_and_told_and_ingestion_goes_on() {
    let running = start().await;
    let mut sensor = running.sensor(1).await;
    sensor.send(&events(1, 1..=100)).await;
    sensor.acked(100).await;
    let last = running.query(QueryRequest::default()).await.last().unwrap().cursor;
    drop(sensor);
    let directory = running.stop().await;
    let path = directory.path().join("store/events.db");
    let mut bytes = std::fs::read(&path).unwrap();
    for byte in bytes.iter_mut().skip(100).step_by(97) {
        *byte ^= 0x5a;
    }
    std::fs::write(&path, bytes).unwrap();

    let running = start_in(directory, |_| {}).await;
    let status = running.status().await;
    assert_eq!(status.events, 0);
    assert!(status.warnings.iter().any(|warning| warning.contains("set aside as")), "{:?}", status.warnings);
    let aside = std::fs::read_dir(running.directory.path().join("store")).unwrap().filter_map(|entry| entry.ok());
    assert_eq!(aside.filter(|entry| entry.file_name().to_string_lossy().contains(".damaged-")).count(), 1);
    let mut sensor = running.sensor(1).await;
    sensor.send(&events(1, 101..=110)).await;
    sensor.acked(110).await;
    let stored = running.query(QueryRequest::default()).await;
    assert_eq!(stored.len(), 10);
    assert!(stored[0].cursor > last, "a cursor never names two events");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_is_deleted() {
    let running = start_with(|settings| {
        settings.store.partition_events = Some(10);
        settings.store.max_age = Some(Duration::from_millis(300));
        settings.store.chores = Some(Duration::ZERO);
    })
    .await;
    let mut sensor = running.sensor(1).await;
    sensor.send(&events(1, 1..=25)).await;
    sensor.acked(25).await;
    soon(async {
        while running.status().await.events > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(running.query(QueryRequest::default()).await.is_empty());
    let sessions = running.reader().list_sessions(mcp_sensor_proto::v1::ListSessionsRequest::default()).await.unwrap().into_inner();
    assert!(sessions.sessions.is_empty(), "a session goes with its last event");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_are_deleted_where_there_is_too_much() {
    let running = start_with(|settings| {
        settings.store.partition_events = Some(500);
        settings.store.max_bytes = Some(1 << 20);
        settings.store.chores = Some(Duration::ZERO);
    })
    .await;
    let mut sensor = running.sensor(1).await;
    for from in (1..=20_000).step_by(500) {
        sensor.send(&events(1, from..from + 500)).await;
        sensor.acked(from + 499).await;
    }
    soon(async {
        while running.server.store().deleted() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let left = sequences(&running.query(QueryRequest { page_size: 1_000, ..QueryRequest::default() }).await);
    assert!(left.len() < 20_000 && left.len() > 100, "{}", left.len());
    assert_eq!(left.last(), Some(&20_000));
    assert!(left.windows(2).all(|pair| pair[1] == pair[0] + 1), "the newest are left, without holes");
    assert!(running.status().await.store_bytes < 64 << 20);
}
