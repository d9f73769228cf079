//! The work behind the web: its tasks, who does them, and a job.

use std::{sync::Arc, time::Instant};

use actix::prelude::*;
use gaia_actors::prelude::*;
use serde::{Deserialize, Serialize};

use crate::orders::{OrderError, Orders};

/// Confirms the order with this id.
pub const CONFIRM_ORDER: TaskDef<i64, String> = TaskDef::new("OrderService", "ConfirmOrder").theme("order-task");

/// Tells a customer. The answer is how many mails this process has sent.
pub const SEND_MAIL: TaskDef<Mail, u64> = TaskDef::new("MailService", "SendMail").theme("mail").max_retry(10);

/// Counts the orders of a status.
pub const COUNT_ORDERS: TaskDef<String, i64> = TaskDef::new("ReportService", "CountOrders");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    pub to: String,
    pub text: String,
}

/// Whose mails they are: handlers find it by its type.
pub struct Sender(pub String);

/// What the program and its tests have in common. The table must be there.
pub fn builder(orders: Orders) -> GaiaBuilder {
    let shop = ServiceMethods::of(Arc::new(Shop { orders }))
        .method(CONFIRM_ORDER, Shop::confirm)
        .method(COUNT_ORDERS, Shop::count);
    let mailer = Mailer::default().start();
    Gaia::builder()
        .data(Sender("the tea shop".to_owned()))
        .handlers(shop)
        .handlers(SEND_MAIL.actor(mailer.recipient()))
        .scheduler(SchedulerOptions::new(CONFIRM_ORDER.theme_name()).layer(timed))
        .scheduler(SchedulerOptions::new(SEND_MAIL.theme_name()).layer(timed))
        .jobs(JobsOptions::default())
}

/// Adds the shop's jobs, unless they are there.
pub async fn ensure_jobs(gaia: &Gaia) -> Result<(), Error> {
    let report = COUNT_ORDERS.cron_job("confirmed orders", "0 0 6 * * *", &"confirmed".to_owned());
    gaia.jobs().ensure_job(report).await?;
    Ok(())
}

/// A layer: each attempt says how long it took. Its lines carry the log id of the run.
async fn timed(ctx: TaskContext, next: Next) -> Result<Json, TaskError> {
    let (method, attempt, began) = (next.method().to_owned(), ctx.attempt(), Instant::now());
    let answer = next.run(ctx).await;
    log::info!("attempt {attempt} of {method} took {:?}", began.elapsed());
    answer
}

/// The methods of a service object.
struct Shop {
    orders: Orders,
}

impl Shop {
    async fn confirm(&self, ctx: TaskContext, order: i64) -> Result<String, TaskError> {
        match self.orders.confirm(&ctx, order).await {
            Ok(order) => Ok(format!("order {} is {}", order.id, order.status)),
            // Another attempt would not find it either.
            Err(error @ OrderError::NotFound(_)) => Err(TaskError::discard(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    async fn count(&self, _: TaskContext, status: String) -> Result<i64, TaskError> {
        Ok(self.orders.count(&status).await?)
    }
}

/// An actor of the application: it sends one mail after the other.
#[derive(Default)]
struct Mailer {
    sent: u64,
}

impl Actor for Mailer {
    type Context = Context<Self>;
}

impl Handler<Invoke> for Mailer {
    type Result = Result<Json, TaskError>;

    fn handle(&mut self, invoke: Invoke, _: &mut Context<Self>) -> Self::Result {
        let mail: Mail = invoke.args()?;
        log::info!("{}", text_of(&invoke.ctx, &mail)?);
        self.sent += 1;
        Json::of(&self.sent)
    }
}

/// What the customer reads.
pub fn text_of(ctx: &TaskContext, mail: &Mail) -> Result<String, TaskError> {
    let Sender(sender) = &*ctx.data::<Sender>()?;
    Ok(format!("from {sender} to {}: {}", mail.to, mail.text))
}
