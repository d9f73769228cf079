# Everyday commands; `just` lists them.

default:
    @just --list

# Two thousand orders through one scheduler
quickstart:
    cargo run --example quickstart

# All tests
test *args:
    ./scripts/test {{args}}

# What must pass before a change lands
ci:
    ./.ci/run

# Ten nodes on one file, killed at random for a minute
soak seconds="60":
    GAIA_SOAK_SECONDS={{seconds}} cargo test --test suite nodes_that_are_killed -- --nocapture

# Three nodes with wrong clocks, killed in turn, for a minute
cron-soak seconds="60":
    GAIA_SOAK_SECONDS={{seconds}} cargo test --test suite nodes_with_wrong_clocks -- --nocapture

# Every fault on every database, for minutes each, with a table at the end
faults *args:
    cargo test --all-features --test faults -- --long {{args}}

# What a claim costs beside a long history, and what an idle node asks
claim-cost *args:
    cargo bench --all-features --bench claim -- {{args}}

# What cron costs: schedules beside two crates, idle jobs, late starts
cron-cost *args:
    cargo bench --all-features --bench cron -- {{args}}

# Throughput and latency beside the fastest bare statements
bench *args:
    cargo bench --all-features --bench throughput -- {{args}}

# Calls, idle nodes and resizing, beside their aims
runtime-cost *args:
    cargo bench --all-features --bench runtime -- {{args}}

# Ten minutes of steady load: does anything grow?
steady *args:
    cargo bench --all-features --bench steady -- {{args}}

# Licences, advisories, sources
deny:
    cargo deny check
