//! Offsets of kernel structures from the running kernel's BTF.
//!
//! Rust programs carry no CO-RE relocations; the loader resolves each field by name instead and passes the offset as a
//! read-only global, which the verifier takes for a constant.

use btf_rs::{Btf, BtfType, Type};
use sensor_ebpf::{OFFSETS, Offset};
use thiserror::Error;

/// Where the kernel shows its types.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// Why offsets could not be resolved.
#[derive(Debug, Error)]
pub enum OffsetError {
    /// The kernel shows no types.
    #[error("reading the kernel's types from {KERNEL_BTF}: {0}")]
    Btf(String),
    /// A field that capture needs does not exist in this kernel.
    #[error("this kernel has no field {fields} in struct {structure}")]
    Missing {
        /// The structure.
        structure: &'static str,
        /// The names that were tried.
        fields: String,
    },
}

/// What the programs are told about this kernel: names of globals and their values.
#[derive(Clone, Debug)]
pub struct KernelFacts {
    /// Offsets, by the name of the global.
    pub offsets: Vec<(&'static str, u32)>,
    /// Index of the `pids` controller, or `u32::MAX`.
    pub cgroup_pids: u32,
    /// 1 where `io_uring_complete` passes the completion itself, 0 where it passes the result.
    pub io_uring_complete_has_cqe: u32,
}

/// Resolves everything that the programs are told about the running kernel.
///
/// # Errors
/// Where the kernel shows no types, or lacks a field that capture needs.
pub fn resolve() -> Result<KernelFacts, OffsetError> {
    let btf = Btf::from_file(KERNEL_BTF).map_err(|error| OffsetError::Btf(error.to_string()))?;
    let offsets = OFFSETS.iter().map(|offset| Ok((offset.global, resolve_one(&btf, offset)?)));
    Ok(KernelFacts {
        offsets: offsets.collect::<Result<_, OffsetError>>()?,
        cgroup_pids: enumerator(&btf, "cgroup_subsys_id", "pids_cgrp_id").unwrap_or(u32::MAX),
        io_uring_complete_has_cqe: u32::from(io_uring_complete_has_cqe(&btf)),
    })
}

fn resolve_one(btf: &Btf, offset: &Offset) -> Result<u32, OffsetError> {
    let found = offset.fields.iter().find_map(|field| field_offset(btf, offset.structure, field));
    match found {
        Some(bytes) => Ok(bytes),
        None if offset.required => Err(OffsetError::Missing { structure: offset.structure, fields: offset.fields.join(" or ") }),
        None => Ok(Offset::ABSENT),
    }
}

/// The byte offset of a field, dots standing between nested members; anonymous members are looked through.
fn field_offset(btf: &Btf, structure: &str, field: &str) -> Option<u32> {
    let candidates = btf.resolve_types_by_name(structure).ok()?;
    candidates.into_iter().find_map(|candidate| {
        let Type::Struct(mut current) = candidate else { return None };
        let mut bits = 0;
        let mut parts = field.split('.').peekable();
        while let Some(part) = parts.next() {
            let (offset, inner) = member(btf, &current, part)?;
            bits += offset;
            if parts.peek().is_some() {
                current = inner?;
            }
        }
        (bits % 8 == 0).then_some(bits / 8)
    })
}

/// Offset in bits of a member, and its own structure where it is one.
fn member(btf: &Btf, structure: &btf_rs::Struct, name: &str) -> Option<(u32, Option<btf_rs::Struct>)> {
    for member in &structure.members {
        let inner = || composite(btf, member);
        let member_name = btf.resolve_name(member).unwrap_or_default();
        if member_name == name {
            return Some((member.bit_offset(), inner()));
        }
        if member_name.is_empty()
            && let Some((offset, found)) = inner().and_then(|anonymous| self::member(btf, &anonymous, name))
        {
            return Some((member.bit_offset() + offset, found));
        }
    }
    None
}

/// The structure or union behind a member, through typedefs and qualifiers; `None` for anything else.
fn composite(btf: &Btf, member: &btf_rs::Member) -> Option<btf_rs::Struct> {
    let mut current = btf.resolve_chained_type(member).ok()?;
    loop {
        match current {
            Type::Struct(inner) | Type::Union(inner) => return Some(inner),
            Type::Ptr(_) | Type::Array(_) => return None,
            other => current = btf.resolve_chained_type(other.as_btf_type()?).ok()?,
        }
    }
}

fn enumerator(btf: &Btf, name: &str, value: &str) -> Option<u32> {
    btf.resolve_types_by_name(name).ok()?.into_iter().find_map(|candidate| {
        let Type::Enum(definition) = candidate else { return None };
        let found = definition.members.iter().find(|member| btf.resolve_name(*member).is_ok_and(|name| name == value));
        found.map(btf_rs::EnumMember::val)
    })
}

/// Whether `io_uring_complete` passes a `struct io_uring_cqe *` (from 6.10) or the bare result.
fn io_uring_complete_has_cqe(btf: &Btf) -> bool {
    let prototype = btf
        .resolve_types_by_name("btf_trace_io_uring_complete")
        .ok()
        .and_then(|types| types.into_iter().find(|candidate| matches!(candidate, Type::Typedef(_))))
        .and_then(|typedef| btf.resolve_chained_type(typedef.as_btf_type()?).ok())
        .and_then(|pointer| btf.resolve_chained_type(pointer.as_btf_type()?).ok());
    let Some(Type::FuncProto(prototype)) = prototype else { return false };
    // Parameter 0 is the tracepoint's private data; the programs do not see it.
    let Some(third) = prototype.parameters.get(3) else { return false };
    match btf.resolve_chained_type(third) {
        Ok(Type::Ptr(pointer)) => {
            matches!(btf.resolve_chained_type(&pointer), Ok(Type::Struct(inner))
                if btf.resolve_name(&inner as &dyn BtfType).is_ok_and(|name| name == "io_uring_cqe"))
        }
        _ => false,
    }
}
