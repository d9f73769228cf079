//! A shop with something to look at.

#[path = "../../../../examples/shop/mod.rs"]
mod shop;

use self::shop::Shop;
use crate::{
    args::DemoArgs,
    exit::{Exit, Failure, Result},
    interrupted, listen,
    local::unopened,
    output::say,
    session::Session,
};

/// Not the database of `DATABASE_URL`: orders of a shop that is none are for no real one.
const DATABASE: &str = "sqlite:gaia-demo.db";

pub async fn run(session: &Session, args: &DemoArgs) -> Result {
    let globals = &session.globals;
    if globals.server.is_some() || globals.config.is_some() {
        return Err(Failure::usage(
            "gaia demo makes a shop of its own; leave out --server and --config, and name another database than gaia-demo.db by --database",
        ));
    }
    let addresses = listen::addresses(&args.listen).map_err(Failure::usage)?;
    if !listen::are_of_this_machine(&addresses) {
        return Err(Failure::usage(format!(
            "{} can be reached by other machines, and the demo lets in only this one; listen on 127.0.0.1",
            args.listen
        )));
    }
    let listener = listen::bind(&args.listen, &addresses)?;
    let address = listener.local_addr();
    let address = address.map_err(|error| Failure::failed(format!("cannot listen on {}: {error}", args.listen)))?;
    let url = globals.database.as_deref().unwrap_or(DATABASE);
    let shop = tokio::select! {
        shop = Shop::open(url, listener) => shop.map_err(|error| unopened(&error))?,
        exit = interrupted() => return Err(Failure::new(exit, "")),
    };
    let until_signal = shop.run_until_signal();
    say(&format!("gaia: dashboard http://{address}/gaia/"));
    say("gaia: ready; ctrl-c ends the shop");
    until_signal.await.map_err(|error| Failure::away(error.to_string()))?;
    say("gaia: stopped");
    Ok(Exit::Done)
}
