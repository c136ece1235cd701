//! What stands in the files.

use std::fmt;
use std::string::FromUtf8Error;

use serde::{Deserialize, Serialize};

use super::folder::Folder;
use crate::{ArbiterError, Claimant, Date, Generation, Identity, MachineName};

/// No record is longer, in bytes.
pub(super) const MAXIMUM_LENGTH: u64 = 4096;
/// The first line of each, for people.
const TITLE: &str = "# A record of an arbiter of Outlive. Leave it where it is, as it is.\n";

/// Why a file is no record.
#[derive(thiserror::Error, Debug)]
#[non_exhaustive]
pub enum Damage {
    /// It is a folder, a device, a link, or suchlike.
    #[error("it is no ordinary file")]
    NotAFile,
    /// It is too long.
    #[error("it has more than {MAXIMUM_LENGTH} bytes")]
    TooLong,
    /// It is empty, as a file is that was cut off.
    #[error("it is empty")]
    Empty,
    /// It is no text.
    #[error("it is no text")]
    NotText(#[source] FromUtf8Error),
    /// It is not the TOML that was expected, or not all of it.
    #[error("it is no record of an arbiter: {}", .0.message().escape_debug())]
    NotARecord(toml::de::Error),
    /// It is a whole record, under a name that is not its own.
    #[error("it is the record {0}, under another name")]
    OfAnother(String),
}

/// What a record records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// That a generation was opened.
    Opened,
    /// That its flag was raised.
    Claimed,
}

/// A record: the contents of a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) machine: MachineName,
    pub(super) generation: Generation,
    pub(super) written: Date,
    /// Random. Tells whether a file was made by the attempt that was told of a failure.
    pub(super) attempt: Identity,
    pub(super) claimant: Claimant,
}

impl Record {
    /// A new one.
    pub(super) fn new(
        kind: Kind,
        machine: &MachineName,
        generation: Generation,
        claimant: &Claimant,
    ) -> Result<Self, ArbiterError> {
        Ok(Self {
            kind,
            machine: machine.clone(),
            generation,
            written: Date::now(),
            attempt: Identity::random().map_err(ArbiterError::Random)?,
            claimant: claimant.clone(),
        })
    }

    /// The contents of its file.
    pub(super) fn to_text(&self) -> Result<String, ArbiterError> {
        let text = toml::to_string(self).map_err(ArbiterError::Text)?;
        let text = format!("{TITLE}{text}");
        if text.len() as u64 > MAXIMUM_LENGTH {
            return Err(ArbiterError::TooLong(text.len()));
        }
        Ok(text)
    }

    fn from_contents(contents: Vec<u8>) -> Result<Self, Damage> {
        if contents.is_empty() {
            return Err(Damage::Empty);
        }
        let text = String::from_utf8(contents).map_err(Damage::NotText)?;
        toml::from_str(&text).map_err(Damage::NotARecord)
    }
}

/// The name of a machine's file. As text, what it is called in the machine's folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FileName<'a> {
    pub(super) machine: &'a MachineName,
    pub(super) generation: Generation,
    pub(super) kind: Kind,
}

impl fmt::Display for FileName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&file_name(self.generation, self.kind))
    }
}

fn file_name(generation: Generation, kind: Kind) -> String {
    let suffix = match kind {
        Kind::Opened => "opened",
        Kind::Claimed => "claimed",
    };
    format!("generation-{:06}.{suffix}", generation.0)
}

/// The generation that a file belongs to, unless it is none of an arbiter's.
pub(super) fn generation_of(name: &str) -> Option<Generation> {
    let (number, _) = name.strip_prefix("generation-")?.split_once('.')?;
    let generation = Generation(number.parse().ok()?);
    let is_ours = |kind| file_name(generation, kind) == name;
    (generation.0 > 0 && [Kind::Opened, Kind::Claimed].into_iter().any(is_ours)).then_some(generation)
}

impl FileName<'_> {
    /// The record of that name, if it is there.
    pub(super) fn read(&self, folder: &Folder) -> Result<Option<Record>, ArbiterError> {
        let name = self.to_string();
        let Some(contents) = folder.read(&name)? else {
            return Ok(None);
        };
        let record = Record::from_contents(contents).and_then(|record| self.check(record));
        record.map(Some).map_err(|damage| folder.damaged(&name, damage))
    }

    /// A copy of another record would name a winner who knows nothing of it.
    fn check(&self, record: Record) -> Result<Record, Damage> {
        let is_own =
            (record.kind, record.generation, &record.machine) == (self.kind, self.generation, self.machine);
        if is_own {
            return Ok(record);
        }
        Err(Damage::OfAnother(format!("{}/{}", record.machine, file_name(record.generation, record.kind))))
    }
}
