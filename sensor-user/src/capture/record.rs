//! Decoding the kernel's records.

use super::key::from_kernel;
use recording::Item;
use sensor_core::input::{Chunk, End, LossReasons, ProcessId, Touch};
use sensor_ebpf::{ChunkRecord, ExecRecord, ExitRecord, Flags, ForkRecord, Loss, RecordHeader, RecordKind, SignalRecord};
use thiserror::Error;
use zerocopy::FromBytes as _;

/// A decoded record.
pub enum Record<'a> {
    /// Bytes of a stream.
    Chunk(Chunk<'a>),
    /// An end of a stream was used.
    Touch(Touch),
    /// A process replaced its program.
    Exec(Box<ExecRecord>),
    /// A process came to be.
    Fork(ForkRecord),
    /// A process ended.
    Exit(ExitRecord),
    /// A marked process was sent its signal.
    Signal(SignalRecord),
    /// What a recording holds.
    Recorded(&'a Item<'a>),
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum DecodeError {
    /// No such kind.
    #[error("a record of the unknown kind {0}")]
    Kind(u8),
    /// Fewer bytes than the kind has.
    #[error("a record of kind {kind} with only {length} bytes")]
    Short {
        /// The kind.
        kind: u8,
        /// The bytes there are.
        length: usize,
    },
    /// A stream of an unknown kind.
    #[error("a stream of the unknown kind {0}")]
    Stream(u8),
    /// An end that is none.
    #[error("a stream's end {0}, which is none")]
    End(u8),
}

/// The process that a record is of.
#[must_use]
pub const fn process_of(header: &RecordHeader) -> ProcessId {
    ProcessId { pid: header.pid, start_time: header.start_time }
}

/// The parent and the child of a fork.
#[must_use]
pub const fn kin(record: &ForkRecord) -> (ProcessId, ProcessId) {
    let parent = ProcessId { pid: record.parent_pid, start_time: record.parent_start_time };
    (parent, process_of(&record.header))
}

/// Decodes one record.
///
/// # Errors
/// Where the bytes are no record of this ABI. That cannot come from the kernel programs of this build; it can from a file.
pub fn decode<'a>(header: &RecordHeader, bytes: &'a [u8]) -> Result<Record<'a>, DecodeError> {
    let kind = RecordKind::from_byte(header.kind).ok_or(DecodeError::Kind(header.kind))?;
    let short = DecodeError::Short { kind: header.kind, length: bytes.len() };
    Ok(match kind {
        RecordKind::Chunk | RecordKind::Touch => {
            let (record, payload) = ChunkRecord::ref_from_prefix(bytes).map_err(|_| short)?;
            stream_record(kind, record, payload)?
        }
        RecordKind::Exec => {
            let (record, _) = ExecRecord::ref_from_prefix(bytes).map_err(|_| short)?;
            Record::Exec(Box::new(*record))
        }
        RecordKind::Fork => Record::Fork(ForkRecord::read_from_prefix(bytes).map_err(|_| short)?.0),
        RecordKind::Exit => Record::Exit(ExitRecord::read_from_prefix(bytes).map_err(|_| short)?.0),
        RecordKind::Signal => Record::Signal(SignalRecord::read_from_prefix(bytes).map_err(|_| short)?.0),
    })
}

fn stream_record<'a>(kind: RecordKind, record: &ChunkRecord, payload: &'a [u8]) -> Result<Record<'a>, DecodeError> {
    let header = &record.header;
    let stream = from_kernel(&record.key).ok_or(DecodeError::Stream(record.key.kind))?;
    let end = match header.end {
        1 => End::Writer,
        2 => End::Reader,
        other => return Err(DecodeError::End(other)),
    };
    Ok(if kind == RecordKind::Chunk {
        Record::Chunk(Chunk {
            time: header.time,
            stream,
            epoch: record.epoch,
            end,
            process: process_of(header),
            offset: record.offset,
            loss: LossReasons(header.loss),
            packet_end: header.flags & Flags::PacketEnd as u8 != 0,
            ahead: header.flags & Flags::Ahead as u8 != 0,
            since_birth: header.flags & Flags::SinceBirth as u8 != 0,
            bytes: payload,
        })
    } else {
        Record::Touch(Touch {
            time: header.time,
            stream,
            epoch: record.epoch,
            end,
            process: process_of(header),
            offset: record.offset,
            moved: record.call_bytes,
            unseen: header.loss & Loss::NoBuffer as u8 != 0,
            since_birth: header.flags & Flags::SinceBirth as u8 != 0,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::records;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
            // Eight-byte alignment, as batches have it.
            let mut aligned = vec![0_u64; bytes.len().div_ceil(8)];
            let view = zerocopy::IntoBytes::as_mut_bytes(aligned.as_mut_slice());
            view[..bytes.len()].copy_from_slice(&bytes);
            for (header, record) in records(&view[..bytes.len()]) {
                let _ = decode(&header, record);
            }
        }
    }
}
