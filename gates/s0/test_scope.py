"""S0 scope freeze: is it settled what is asked, of what data, under which rules?"""


def test_decision_note_is_complete(decision_note_faults, evidence):
    """Tag, owner, date, research question, universe constraints, protocol version and hypothesis family are present and no placeholders."""
    assert evidence("s0.decision_note", len(decision_note_faults), n_obs=7, note="; ".join(decision_note_faults))


def test_file_matches_the_declared_contract(header_faults, evidence):
    """The declared columns, key, dates and units agree with the file's header, types and first rows."""
    assert evidence("s0.data_contract", len(header_faults), note="; ".join(header_faults))


def test_no_threshold_is_loosened(loosened_thresholds, candidate, evidence):
    """Every threshold that the candidate overrides is at least as strict as the policy's."""
    assert evidence(
        "s0.policy_not_loosened",
        len(loosened_thresholds),
        n_obs=len(candidate.policy),
        note="; ".join(loosened_thresholds),
    )


def test_every_input_is_pinned(unpinned_inputs, evidence):
    """Commit, packages, data, reference tables, policy and gates all have a hash in the freeze, and have it still."""
    assert evidence("s0.reproducible_inputs", len(unpinned_inputs), note="; ".join(unpinned_inputs))


def test_a_rerun_names_its_cause_and_differs(rerun_faults, evidence):
    """A candidate whose last tag did not pass names that tag and a root cause, and after a FAIL something differs."""
    assert evidence("s0.rerun_contract", len(rerun_faults), note="; ".join(rerun_faults))
