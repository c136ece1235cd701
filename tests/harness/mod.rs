//! Running the command on a guest, and telling what it said: for all tests of whole guests.

#![allow(dead_code, unused_imports, reason = "each of the programs that include this uses a part of it")]

mod engine;
mod guest;
mod kv;
mod lab;
mod linux;
mod process;

pub(crate) use engine::{
    Engine, doctor_json, faults_words, in_lab, kvm_at_hand, kvm_records, kvm_runs_linux, on_each_engine,
};
pub(crate) use guest::{Guest, checkout, image};
pub(crate) use kv::{ask, connect, kv};
pub(crate) use lab::run_in_lab;
pub(crate) use linux::{Linux, linux, output, redis, shell};
pub(crate) use process::{Finished, OUTLIVE, Running, finish, seconds_to_record};
