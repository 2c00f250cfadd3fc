//! The numbers of the format, in one place. `FORMAT.md` explains them.

/// Types of pcapng blocks.
pub mod block {
    pub const SECTION: u32 = 0x0A0D_0D0A;
    pub const INTERFACE: u32 = 1;
    pub const PACKET: u32 = 6;
    pub const CUSTOM: u32 = 0x0000_0BAD;
}

/// Codes of pcapng options.
pub mod option {
    pub const COMMENT: u16 = 1;
    pub const CUSTOM: u16 = 2989;
    pub const SECTION_HARDWARE: u16 = 2;
    pub const SECTION_OS: u16 = 3;
    pub const SECTION_APPLICATION: u16 = 4;
    pub const INTERFACE_NAME: u16 = 2;
    pub const INTERFACE_DESCRIPTION: u16 = 3;
    pub const INTERFACE_RESOLUTION: u16 = 9;
    pub const PACKET_FLAGS: u16 = 2;
}

/// Tags of Wireshark's exported PDUs.
pub mod tag {
    pub const END: u16 = 0;
    pub const DISSECTOR: u16 = 12;
    pub const IPV4_SOURCE: u16 = 20;
    pub const IPV4_DESTINATION: u16 = 21;
    pub const IPV6_SOURCE: u16 = 22;
    pub const IPV6_DESTINATION: u16 = 23;
    pub const PORT_TYPE: u16 = 24;
    pub const SOURCE_PORT: u16 = 25;
    pub const DESTINATION_PORT: u16 = 26;
}

/// `EXP_PDU_PT_TCP`.
pub const PORT_TYPE_TCP: u32 = 2;

/// What tells a section's byte order.
pub const BYTE_ORDER_MAGIC: u32 = 0x1A2B_3C4D;

/// `LINKTYPE_WIRESHARK_UPPER_PDU`.
pub const LINK_TYPE: u16 = 252;

/// Private enterprise number of our custom blocks and options: the one that RFC 5612 keeps for examples. [`MAGIC`] tells ours
/// from others' examples.
pub const PEN: u32 = 32473;

/// What our custom data begins with.
pub const MAGIC: [u8; 4] = *b"MCPR";

/// Version of the custom data. A reader skips (and counts) what has another.
pub const VERSION: u8 = 1;

/// Kinds below this one are items, and numbered.
pub const FIRST_NO_ITEM: u8 = 128;

/// Custom data that is no item.
pub mod kind {
    pub const HEADER: u8 = 128;
    pub const CHAIN: u8 = 129;
    pub const MANIFEST: u8 = 130;
    pub const PADDING: u8 = 131;
    pub const NOTE: u8 = 132;
}

/// Number of what is no item.
pub const NO_NUMBER: u64 = u64::MAX;

/// Bytes of pcapng after which a segment is closed with a chain block.
pub const SEGMENT: usize = 1 << 20;

/// The biggest block that is written.
pub const MAX_BLOCK: usize = 64 << 20;

/// What an age file begins with.
pub const AGE_MAGIC: &[u8] = b"age-encryption.org/";

/// What an age file in text form begins with.
pub const AGE_ARMOR: &[u8] = b"-----BEGIN AGE";

/// Plain bytes of a chunk of an age file. A chunk is written when the byte behind it comes.
pub const AGE_CHUNK: u64 = 64 << 10;

/// Bytes of the smallest padding block.
pub const LAYER_PADDING: u64 = 12 + 24;

/// What a zstd frame begins with.
pub const ZSTD_MAGIC: u32 = 0xFD2F_B528;

/// What zstd's skippable frames begin with, but for the last four bits.
pub const ZSTD_SKIPPABLE: u32 = 0x184D_2A50;

/// The skippable frame of zstd's seekable format, and the number at its end.
pub const ZSTD_SEEK_TABLE: u32 = 0x184D_2A5E;
pub const ZSTD_SEEK_MAGIC: u32 = 0x8F92_EAB1;

/// Window of the frames that are written, and the biggest that is read (which every decoder takes), as powers of two.
pub const ZSTD_WINDOW: u32 = 20;
pub const ZSTD_MAX_WINDOW: u32 = 23;
