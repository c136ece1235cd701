//! A client of redis, on one TCP connection.

use std::net::Ipv4Addr;

use anyhow::Context;
use redis::{Client, cmd};

use super::{Connection, PATIENCE, Recorder};
use crate::history::{Answer, Call};

/// A connection to redis. It is never made again: the library's blocking connection stays with its socket, and an error
/// of that is an error of the request.
pub(super) struct Redis {
    connection: redis::Connection,
}

impl Redis {
    pub(super) fn connect(address: Ipv4Addr) -> anyhow::Result<Self> {
        let client = Client::open(format!("redis://{address}:6379/")).context("redis has no such address")?;
        let connection = client.get_connection_with_timeout(PATIENCE).context("cannot connect to redis")?;
        connection.set_read_timeout(Some(PATIENCE)).context("cannot set a timeout")?;
        connection.set_write_timeout(Some(PATIENCE)).context("cannot set a timeout")?;
        Ok(Self { connection })
    }

    fn answer(&mut self, key: &str, call: Call) -> redis::RedisResult<Answer> {
        let connection = &mut self.connection;
        match call {
            Call::Set(value) => {
                cmd("SET").arg(key).arg(value).query::<String>(connection).map(|_| Answer::Done)
            }
            Call::Get => cmd("GET").arg(key).query(connection).map(Answer::Value),
            Call::Increment => cmd("INCR").arg(key).query(connection).map(|value| Answer::Value(Some(value))),
        }
    }
}

impl Connection for Redis {
    fn ask(&mut self, key: &str, call: Call, recorder: &mut Recorder) -> anyhow::Result<Answer> {
        let begun = recorder.begin(key, call);
        let answer = self.answer(key, call).context("the connection to redis broke")?;
        recorder.end(begun, answer);
        Ok(answer)
    }

    fn identity(&mut self) -> anyhow::Result<Option<u64>> {
        let number = cmd("CLIENT").arg("ID").query(&mut self.connection);
        number.map(Some).context("redis does not tell the connection's number")
    }
}
