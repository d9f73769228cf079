//! The sides that are built on sqlx 0.8. The driver is the package above.

mod apalis;
mod awa;
#[path = "../../src/child.rs"]
mod child;
mod fang;

use clap::Parser;

use crate::child::{Child, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let child = Child::parse();
    match child.side.as_str() {
        "apalis" => child::run::<apalis::Apalis>(child).await,
        "awa" => child::run::<awa::Awa<true>>(child).await,
        "awa old storage" => child::run::<awa::Awa<false>>(child).await,
        "fang" => child::run::<fang::Fang>(child).await,
        side => Err(format!("{side:?} is no side of this program: apalis, awa or fang").into()),
    }
}
