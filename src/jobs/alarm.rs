//! The alarm (cron) that says each day which jobs are due.

use actix::prelude::*;
use tokio_cron_scheduler::{Job as CronJob, JobScheduler, JobSchedulerError};

use super::job::RunJob;
use crate::config::TimeOfDay;
use crate::telemetry::Causes;

/// Rings for as long as it is kept.
pub struct CronTrigger {
    cron: JobScheduler,
}

impl CronTrigger {
    /// Tells `scheduler` each day of each of these jobs, at its time.
    ///
    /// # Errors
    /// [`JobSchedulerError`], never with times of day.
    pub(super) async fn set(
        scheduler: &Recipient<RunJob>,
        times: Vec<(&'static str, TimeOfDay)>,
    ) -> Result<Self, JobSchedulerError> {
        let cron = JobScheduler::new().await?;
        for (name, at) in times {
            let scheduler = scheduler.clone();
            cron.add(CronJob::new(daily(at), move |_, _| {
                if scheduler.try_send(RunJob(name)).is_err() {
                    tracing::error!(chore = name, "the scheduler does not answer");
                }
            })?)
            .await?;
        }
        cron.start().await?;
        Ok(Self { cron })
    }

    /// Rings no more.
    pub async fn stop(mut self) {
        if let Err(error) = self.cron.shutdown().await {
            tracing::debug!(error = %Causes(&error), "cron did not stop cleanly");
        }
    }
}

/// Seconds, minutes, hours, day, month, weekday; in UTC.
fn daily(at: TimeOfDay) -> String {
    format!("0 {} {} * * *", at.minute, at.hour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_are_what_cron_takes() {
        let at = TimeOfDay { hour: 3, minute: 5 };
        assert_eq!(daily(at), "0 5 3 * * *");
        assert!(CronJob::new(daily(at), |_, _| {}).is_ok());
    }
}
