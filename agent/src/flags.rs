//! Flags of the controller that this one takes the place of, which have nothing to act on here.
//!
//! In: a command line written for the other controller. Out: it is accepted, and the flags in it that have no effect are
//! known by name, so that the start can say so. It must not hold a flag that has an effect: that one is in `args`.

use clap::{Arg, ArgAction, ArgMatches, Command};

/// Whether a flag is followed by a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Value,
    /// `--flag`, `--flag=true`, `--flag=false`.
    Truth,
}

/// The flags, in the order in which the other controller lists them.
const FLAGS: [(&str, Takes); 42] = [
    // Passes and requests need no limits of their own: one queue, as many workers as wait for the API server.
    ("rollout-threads", Takes::Value),
    ("experiment-threads", Takes::Value),
    ("analysis-threads", Takes::Value),
    ("service-threads", Takes::Value),
    ("ingress-threads", Takes::Value),
    ("ephemeral-metadata-threads", Takes::Value),
    ("ephemeral-metadata-update-pod-retries", Takes::Value),
    ("qps", Takes::Value),
    ("burst", Takes::Value),
    ("kloglevel", Takes::Value),
    ("enable-pprof-address", Takes::Value),
    ("self-service-notification-enabled", Takes::Truth),
    // Routers.
    ("istio-api-version", Takes::Value),
    ("ambassador-api-version", Takes::Value),
    ("traffic-split-api-version", Takes::Value),
    ("traefik-api-group", Takes::Value),
    ("traefik-api-version", Takes::Value),
    ("ingress-api-version", Takes::Value),
    ("appmesh-crd-version", Takes::Value),
    ("apisix-api-version", Takes::Value),
    ("aws-target-group-binding-api-version", Takes::Value),
    ("alb-tag-key-resource-id", Takes::Value),
    ("alb-ingress-classes", Takes::Value),
    ("nginx-ingress-classes", Takes::Value),
    ("alb-verify-weight", Takes::Truth),
    ("aws-verify-target-group", Takes::Truth),
    // Access to the API server beyond the kubeconfig's.
    ("server", Takes::Value),
    ("token", Takes::Value),
    ("username", Takes::Value),
    ("password", Takes::Value),
    ("as", Takes::Value),
    ("as-group", Takes::Value),
    ("as-uid", Takes::Value),
    ("as-user-extra", Takes::Value),
    ("certificate-authority", Takes::Value),
    ("client-certificate", Takes::Value),
    ("client-key", Takes::Value),
    ("tls-server-name", Takes::Value),
    ("proxy-url", Takes::Value),
    ("request-timeout", Takes::Value),
    ("insecure-skip-tls-verify", Takes::Truth),
    ("disable-compression", Takes::Truth),
];

/// The flags without effect that were written, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inert(pub Vec<&'static str>);

impl Inert {
    /// The line for the log, if there is anything to say.
    #[must_use]
    pub fn says(&self) -> Option<String> {
        let names: Vec<String> = self.0.iter().map(|name| format!("--{name}")).collect();
        (!names.is_empty()).then(|| format!("without effect in this program: {}", names.join(", ")))
    }
}

impl clap::Args for Inert {
    fn augment_args(command: Command) -> Command {
        FLAGS.iter().fold(command, |command, (name, takes)| {
            let flag = Arg::new(*name).long(*name).hide(true);
            command.arg(match takes {
                Takes::Value => flag.action(ArgAction::Append).allow_hyphen_values(true),
                Takes::Truth => flag
                    .action(ArgAction::Append)
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true"),
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Inert {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut inert = Self::default();
        inert.update_from_arg_matches(matches)?;
        Ok(inert)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let given = FLAGS.iter().map(|(name, _)| *name);
        self.0 = given.filter(|name| matches.contains_id(name)).collect();
        Ok(())
    }
}
