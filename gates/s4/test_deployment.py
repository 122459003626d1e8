"""S4 deployment readiness: has someone signed, is it written down, will anyone notice when it breaks?"""


def test_the_committee_has_signed(sign_off, evidence):
    """Valid signatures over exactly this S3 report, from distinct listed members, none the owner, reach the quorum."""
    assert evidence(
        "s4.sign_off", len(sign_off.valid) - sign_off.required, n_obs=len(sign_off.valid), note=sign_off.note
    )


def test_deployment_notes_name_the_freeze(deployment_note_faults, evidence):
    """The deployment notes are written and name the exact freeze."""
    assert evidence("s4.deployment_notes", len(deployment_note_faults), note="; ".join(deployment_note_faults))


def test_enough_is_watched(watchlist, evidence):
    """Enough metrics are watched, each with a source, a frequency, a bound and an owner."""
    many = evidence("s4.watchlist.metrics", len(watchlist.metrics), n_obs=len(watchlist.metrics))
    sound = evidence("s4.watchlist.faults", len(watchlist.faults), note="; ".join(watchlist.faults))
    assert many
    assert sound


def test_rollback_triggers_work(rollback, trigger_behaviour, evidence):
    """A hard trigger has a bound and an action, stays quiet on the out-of-sample record and fires on a planted breach; each is simulated."""
    hard = evidence("s4.rollback_triggers.hard", rollback.n_hard, n_obs=rollback.n_triggers, note=trigger_behaviour)
    sound = evidence(
        "s4.rollback_triggers.faults", len(rollback.faults), n_obs=rollback.n_triggers, note="; ".join(rollback.faults)
    )
    assert hard
    assert sound
