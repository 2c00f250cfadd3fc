//! Prints the items of a recording, one a line, for whoever looks for a mistake: `cargo run -p mcp-sensor-recording --example dump -- FILE`.

use recording::{Item, Reader, reader};
use std::fs::File;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("which file?")?;
    let mut reader = Reader::open(File::open(path)?, &reader::Options::default())?;
    println!("{:?}", reader.header());
    while let Some(item) = reader.next()? {
        match item {
            Item::Chunk(chunk) => {
                let bytes = String::from_utf8_lossy(chunk.bytes.get(..60).unwrap_or(chunk.bytes)).into_owned();
                println!("{:?} {} {bytes:?}", sensor_core::input::Passed::from(&chunk), chunk.bytes.len());
            }
            Item::Event(event) => println!("Event {}", event.id),
            Item::Process { time, id, peer } => println!("Process {time} {id:?} {} {:?} {}", peer.exe, peer.command_line, peer.exe_sha256),
            item => println!("{item:?}"),
        }
    }
    println!("{:?}", reader.ending());
    Ok(())
}
