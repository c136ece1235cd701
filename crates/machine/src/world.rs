//! The two gates between a machine and the world.
//!
//! Everything that could differ between two runs enters through [`World::next_input`] and
//! [`World::read_time`]; everything that the world can see leaves through [`World::output`]. A machine
//! that is live talks to a world of TAPs, files and host clocks; one that replays talks to a log. The
//! machine cannot tell which.

use outlive_engine::{EngineError, ExitNumber, GuestTime, InstructionCount, Landmark, VcpuState};

/// Which disk: its position among the disks of the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DiskIndex(pub u8);

/// Which network interface: its position among the networks of the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NetworkIndex(pub u8);

/// Which request of one disk. Counts up from zero; never used twice in the life of a machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct DiskRequestId(pub u64);

/// Something that happened in the world and that the machine did not cause by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// Guest time has reached this moment: device timers that are due fire.
    ClockTick(GuestTime),
    /// Somebody typed these bytes.
    Console(Vec<u8>),
    /// A frame came in.
    Frame {
        /// Where.
        network: NetworkIndex,
        /// The frame, from the destination address on, without checksum.
        bytes: Vec<u8>,
    },
    /// A disk has carried out a request.
    DiskCompletion {
        /// Which disk.
        disk: DiskIndex,
        /// Which of its requests.
        request: DiskRequestId,
        /// Whether it worked.
        status: DiskStatus,
        /// What a read that worked has read, else empty.
        data: Vec<u8>,
    },
}

/// How a disk request ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DiskStatus {
    /// It was carried out.
    Done,
    /// The host's storage failed.
    Failed,
}

/// Something that the machine wants the world to see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// A byte written to the serial port.
    Console(u8),
    /// A frame to send.
    Frame {
        /// Where.
        network: NetworkIndex,
        /// The frame, from the destination address on, without checksum.
        bytes: Vec<u8>,
    },
    /// A disk request. Its completion comes back as [`Input::DiskCompletion`].
    Disk {
        /// Which disk.
        disk: DiskIndex,
        /// The request's name.
        request: DiskRequestId,
        /// What to do.
        operation: DiskOperation,
    },
}

/// What a disk is asked to do. Sectors are 512 bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DiskOperation {
    /// Read this many bytes, a multiple of 512, from this sector on. The range is within the disk.
    Read {
        /// First sector.
        sector: u64,
        /// Length.
        bytes: u32,
    },
    /// Write these bytes, a multiple of 512, from this sector on. The range is within the disk.
    Write {
        /// First sector.
        sector: u64,
        /// What to write.
        data: Vec<u8>,
    },
    /// Make all writes that have completed durable.
    Flush,
}

/// How long a machine can wait when it asks for input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// The guest has work to do: return what is there.
    Poll,
    /// The guest is halted: wait until there is an input.
    Wait,
}

/// A point ahead of the guest at which a machine is to stand still.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// The point that a landmark names.
    Landmark {
        /// The last numbered exit before it.
        exit: ExitNumber,
        /// The instructions from there.
        since_exit: InstructionCount,
    },
    /// Where the guest has executed this many instructions since power-on.
    Instructions(InstructionCount),
}

impl From<Landmark> for Target {
    fn from(landmark: Landmark) -> Self {
        Self::Landmark { exit: landmark.exit, since_exit: landmark.since_exit }
    }
}

/// The point of execution at which a machine talks to the world. Counts are at hand; the rest is
/// asked of the engine, which may cost something, so only a world that writes it down should ask, and not in
/// [`World::read_time`], for the exit that reads the time has not been answered yet.
pub trait Place {
    /// The last numbered exit.
    fn exit(&self) -> ExitNumber;

    /// How many interrupt windows have opened since that exit: where the guest could take an interrupt that it
    /// could not take before. The same on every engine, so this names the places at which inputs land on an
    /// engine that counts no instructions.
    fn windows(&self) -> u64;

    /// How many instructions the guest has executed since power-on, by the rules of
    /// [`Engine::retired`](outlive_engine::Engine::retired). An instruction that has made an exit which wants an
    /// answer counts as soon as it is completed, which may be now or when the guest goes on.
    fn instructions(&self) -> InstructionCount;

    /// The landmark.
    ///
    /// # Errors
    /// When the engine does not tell; `Unsupported` where the guest stands within an instruction that makes several
    /// exits.
    fn landmark(&mut self) -> Result<Landmark, EngineError>;

    /// The state of the processor.
    ///
    /// # Errors
    /// When the engine does not tell.
    fn state(&mut self) -> Result<VcpuState, EngineError>;
}

/// The world as a machine sees it: source of its inputs, sink of its outputs.
///
/// All methods but [`needs_landmarks`](Self::needs_landmarks) are called on the vCPU thread, with the place
/// at which the machine stands.
pub trait World {
    /// What can go wrong out there.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Whether inputs may land only at places that have a landmark. A recording needs that. Without it, an
    /// input lands wherever a kick stopped the guest.
    fn needs_landmarks(&self) -> bool;

    /// Whether the machine shall stop. It is asked behind [`next_input`](Self::next_input), so that a world can
    /// stop the machine at a place that it chooses.
    fn stop_requested(&self) -> bool;

    /// What time is it? Never less than any earlier answer or clock tick.
    ///
    /// # Errors
    /// When the world has none to tell, such as a log that ends or disagrees.
    fn read_time(&mut self, at: &mut dyn Place) -> Result<GuestTime, Self::Error>;

    /// The next input that is to be applied here, `None` if the guest is to go on first. Called again after
    /// each input. With [`Patience::Wait`], `None` means that a stop was requested.
    ///
    /// # Errors
    /// As for [`read_time`](Self::read_time).
    fn next_input(&mut self, at: &mut dyn Place, patience: Patience) -> Result<Option<Input>, Self::Error>;

    /// Where the machine must ask for input next, if it does not ask before. A world that has an input for a
    /// certain point of the guest's execution tells it here, and will be asked there, exactly. There it must give
    /// the input, fail, or name another point. Only for engines whose [`Landing`](outlive_engine::Landing) is
    /// `AnyInstruction`, unless the point is an exit. A world that takes its inputs as they come needs no such
    /// point: it kicks.
    fn next_landing(&self) -> Option<Target> {
        None
    }

    /// Tells when the next device timer is due, whenever that changes, so that a live world can tick by
    /// then.
    fn set_deadline(&mut self, deadline: Option<GuestTime>);

    /// Takes an output.
    ///
    /// # Errors
    /// When it cannot, or when it is not the output that the world expects here.
    fn output(&mut self, at: &mut dyn Place, output: Output) -> Result<(), Self::Error>;

    /// Takes note that the interrupt `vector` is delivered here.
    ///
    /// # Errors
    /// When that is not what the world expects here.
    fn interrupt(&mut self, at: &mut dyn Place, vector: u8) -> Result<(), Self::Error>;
}
