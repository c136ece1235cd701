# How we compare: the lines of the table of scripts/bench.d/all, made of the
# figures of all benchmarks. Prints an array of objects: what, outlive, beside,
# beside_is, ratio (of the two), required, verdict. Lines whose benchmark was
# skipped or failed are left out; what stands beside is null where only that was.

def quotient($a; $b):
  if ($a | type) == "number" and ($b | type) == "number" and $b > 0 then $a / $b else null end;

def line($what; $outlive; $beside; $beside_is; $judged):
  { what: $what, outlive: $outlive, beside: $beside, beside_is: $beside_is,
    ratio: quotient($outlive; $beside), required: $judged.required, verdict: $judged.verdict };

# A requirement that is about the ratio.
def of_ratio: if . == null then null else .required |= "ratio \(.)" end;

# A sum over cases, or null if one of them has none.
def total($cases; f): [$cases[] | f] | if any(. == null) or . == [] then null else add end;

def engine_lines:
  . as $engine | .cases | to_entries[]
  | line("\(.key) on the software engine, s"; .value.outlive.seconds; .value.qemu.seconds?; "QEMU";
      if .key == "integer" then null else $engine.judged[.key]? | of_ratio end),
    if .key == "integer"
    then line("  million instructions per second"; .value.outlive.per_microsecond; .value.qemu.per_microsecond?;
      "QEMU"; $engine.judged.integer)
    else empty end,
    if .value.kvm then line("  the same on the kvm engine"; .value.kvm.seconds; .value.qemu.seconds?; "QEMU"; null)
    else empty end;

def replay_lines:
  .cases as $cases | ($cases | keys_unsorted | join(", ")) as $names
  | def both($what; f): line($what; total($cases; .outlive | f); total($cases; .qemu | f?); "QEMU"; null);
    both("\($names): running, s"; .plain_seconds),
    both("  recording, s"; .record_seconds),
    both("  replaying, s"; .replay_seconds),
    both("  log, bytes"; .log_bytes),
    (total($cases; .outlive.instructions) as $ours | total($cases; .qemu.instructions?) as $theirs
      | line("  log, bytes per 1000 instructions";
          quotient(total($cases; .outlive.log_bytes) * 1000; $ours);
          quotient((total($cases; .qemu.log_bytes?) // 0) * 1000; $theirs); "QEMU"; null));

def record_lines:
  .medians as $medians | .samples as $samples | .judged as $judged | .figures as $figures
  | line("redis, recorded: requests per second"; $medians["redis record"]; $medians["redis run"]; "not recorded";
      $judged.redis | .required |= "\(.) % worse"),
    line("compute loops, recorded, s of processor"; $medians["compute record"]; $medians["compute run"];
      "not recorded"; $judged.compute | .required |= "\(.) % worse"),
    line("  log, bytes per 1000 instructions"; $figures.compute_size; null; null; $judged.compute_size),
    line("an idle guest's log, bytes per 1000 instr."; $figures.idle_size; null; null; $judged.idle_size),
    line("redis' log, bytes per byte it must hold"; $figures.redis_size; null; null; $judged.redis_size),
    line("replay of a mostly idle minute, s"; $figures.minute; 60; "recording"; $judged.minute);

def pair_lines:
  .medians as $medians | .samples as $samples | .judged as $judged | .clients as $clients
  | def gate($name; $words):
      line("protected: \($words), gate, µs"; $medians["gate median \($name)"]; $medians["ping median \($name)"];
        "round trip"; $judged["gate_\($name)"] | of_ratio);
    line("protected redis: requests per second"; $medians["both primary"]; $medians["both run"]; "unprotected";
      $judged.throughput | of_ratio),
    line("  and by an unprotected one with a replay"; $medians["both primary"]; $medians["both beside"];
      "with replay"; null),
    line("  GET, ms, one client, median"; $medians["GET 1 median primary"]; $medians["GET 1 median run"];
      "unprotected"; null),
    gate("1"; "one client"),
    gate("\($clients)"; "\($clients) clients"),
    line("protected, under load: log, bytes per second"; $medians["log load"]; $medians["log idle"]; "idle"; null),
    line("  highest lag, ms"; $judged.lag_load.found; .lag_limit_milliseconds; "limit"; $judged.lag_load),
    line("  and a backup stopped half of the time"; $judged.lag_hampered.found; .lag_limit_milliseconds; "limit";
      $judged.lag_hampered),
    (select($judged.pause_killed)
      | line("failover: the primary killed, worst, ms"; $judged.pause_killed.found; 0; "suspicion";
          $judged.pause_killed),
        line("  the primary frozen, worst, ms"; $judged.pause_frozen.found; .suspect_after_milliseconds; "suspicion";
          $judged.pause_frozen));

# A number as people read it.
def shown:
  if . == null then ""
  elif type != "number" then .
  elif . == floor or . >= 1000 then round
  elif . >= 100 then . * 10 | round / 10
  elif . >= 1 then . * 100 | round / 100
  else . * 1000 | round / 1000 end
  | tostring;

def lines:
  .benchmarks
  | [(.engine // empty | engine_lines), (.replay // empty | replay_lines),
     (.record // empty | record_lines), (.pair // empty | pair_lines)];

# The same for a shell to read: a line each, fields between bars.
def fields:
  [.what, (.outlive | shown), (.beside | shown), (if .beside == null then "" else .beside_is end),
   (.ratio | shown), (.required // ""), (.verdict // "")] | join("|");
