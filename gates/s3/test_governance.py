"""S3 governance: does the record that this verdict will join still hold?"""


def test_the_record_still_holds(governance_faults, evidence):
    """S2 passed officially, its pack is whole, the registry verifies, and freeze, data, code and policy are unchanged."""
    assert evidence("s3.governance", len(governance_faults), note="; ".join(governance_faults[:3]))
