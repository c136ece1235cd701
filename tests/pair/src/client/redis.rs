//! A client of redis, on one TCP connection.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use redis::{Client, cmd};

use super::{Connection, PATIENCE, Recorder};
use crate::history::{Answer, Call};

/// How soon a connection that could not be opened is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// A connection to redis. Once open it is never made again: the library's blocking connection stays with its socket, and
/// an error of that is an error of the request.
pub(super) struct Redis {
    connection: redis::Connection,
}

impl Redis {
    pub(super) fn connect(address: Ipv4Addr) -> anyhow::Result<Self> {
        let client = Client::open(format!("redis://{address}:6379/")).context("redis has no such address")?;
        let connection = reach(&client)?;
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

/// Opens a connection. A guest that is slow to say who has its address is asked again: to the kernel it is a host that is
/// not there.
fn reach(client: &Client) -> anyhow::Result<redis::Connection> {
    let began = Instant::now();
    loop {
        match client.get_connection_with_timeout(PATIENCE) {
            Err(error) if error.is_io_error() && began.elapsed() < PATIENCE => thread::sleep(AGAIN),
            connection => return connection.context("cannot connect to redis"),
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
