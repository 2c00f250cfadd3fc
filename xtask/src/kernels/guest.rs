//! The guests of the matrix.

use clap::ValueEnum;

use crate::workspace::Arch;

/// A kernel to test on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Guest {
    /// Debian 12's kernel.
    #[value(name = "6.1")]
    X86Linux6_1,
    /// The kernel of Debian 13, as backported to 12.
    #[value(name = "6.12")]
    X86Linux6_12,
    /// Debian 12's kernel on 64-bit Arm.
    #[value(name = "arm64-6.1")]
    Arm64Linux6_1,
}

impl Guest {
    /// The whole matrix.
    pub const ALL: [Self; 3] = [Self::X86Linux6_1, Self::X86Linux6_12, Self::Arm64Linux6_1];
    /// The one guest of a short run: where full preemption does most harm to a careless program.
    pub const SHORT: Self = Self::X86Linux6_12;

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86Linux6_1 => "6.1",
            Self::X86Linux6_12 => "6.12",
            Self::Arm64Linux6_1 => "arm64-6.1",
        }
    }

    /// The processor it runs on.
    pub const fn arch(self) -> Arch {
        match self {
            Self::X86Linux6_1 | Self::X86Linux6_12 => Arch::X86_64,
            Self::Arm64Linux6_1 => Arch::Aarch64,
        }
    }

    /// What the kernel's version starts with.
    pub const fn series(self) -> &'static str {
        match self {
            Self::X86Linux6_1 | Self::Arm64Linux6_1 => "6.1.",
            Self::X86Linux6_12 => "6.12.",
        }
    }
}

/// How the kernel preempts itself: `preempt=` on its command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preempt {
    /// Anywhere: desktops and developers' machines.
    Full,
    /// At chosen points: servers.
    Voluntary,
}

impl Preempt {
    /// The word on the kernel's command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Voluntary => "voluntary",
        }
    }
}
