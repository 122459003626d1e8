"""S1 data quality: is the file what the contract says, and good enough to believe a number from it?"""


def test_required_columns_are_there(quality, evidence):
    """Every declared column holds at least one value."""
    empty = quality.empty_columns
    assert evidence("s1.dq.required_columns", len(empty), n_obs=quality.n_rows, note=", ".join(empty))


def test_there_are_enough_rows(quality, evidence):
    """The file holds enough rows for a cross-section over time."""
    assert evidence("s1.dq.min_rows", quality.n_rows, n_obs=quality.n_rows)


def test_few_values_are_missing(quality, evidence):
    """No declared column lacks more than a small share of its values."""
    worst = max(quality.missing, key=quality.missing_ratio)
    assert evidence(
        "s1.dq.missing_ratio", quality.missing_ratio(worst), n_obs=quality.n_rows, note=f"worst column: {worst}"
    )


def test_keys_are_unique(quality, evidence):
    """A symbol has one row a date; a second row with other values is a contradiction, not a duplicate."""
    few = evidence("s1.dq.duplicate_ratio.keys", quality.duplicate_ratio, n_obs=quality.n_rows)
    agreeing = evidence("s1.dq.duplicate_ratio.conflicting", quality.duplicate_conflicting, n_obs=quality.n_rows)
    assert few
    assert agreeing


def test_numbers_are_numbers(quality, evidence):
    """No infinite, non-positive or unparseable value stands in a declared numeric column."""
    assert evidence(
        "s1.dq.numeric_integrity", quality.numeric_fault_count, n_obs=quality.n_rows, note=quality.numeric_fault_note
    )


def test_data_are_fresh_as_of_the_freeze(quality, evidence):
    """The last date is close to the frozen as_of; the wall clock has no say, so a replay agrees."""
    assert evidence(
        "s1.dq.freshness", quality.days_to_as_of, n_obs=quality.n_dates, note=f"last date {quality.last_date}"
    )


def test_prices_of_a_day_agree(quality, evidence):
    """Low <= open and close <= high on nearly every row that has all four."""
    assert evidence("s1.dq.ohlc_consistency", quality.ohlc_consistent_ratio, n_obs=quality.n_rows)


def test_extreme_returns_are_rare(quality, evidence):
    """Close-to-close moves beyond 50 % are rare enough to be news rather than errors; each is listed."""
    assert evidence("s1.dq.extreme_returns", quality.extreme_return_ratio, n_obs=quality.n_rows)


def test_no_two_symbols_share_a_series(quality, evidence):
    """No two symbols carry the same closes: one instrument under two names counts twice in every statistic."""
    assert evidence("s1.dq.distinct_series", len(quality.identical_series), n_obs=quality.n_symbols)


def test_the_calendar_holds(quality, evidence):
    """Dates are readable, in order per symbol and not after as_of, and names have few holes inside their lives."""
    ordered = evidence("s1.dq.calendar.order", quality.calendar_fault_count, n_obs=quality.n_rows)
    whole = evidence("s1.dq.calendar.gaps", quality.interior_gap_ratio, n_obs=quality.n_rows)
    assert ordered
    assert whole


def test_members_of_the_day_are_in_the_panel(missing_member_ratio, panel, evidence):
    """The share of point-in-time members that the panel lacks: how much the file looks ahead in its universe."""
    assert evidence("s1.dq.universe_bias", missing_member_ratio, n_obs=panel.n_dates)
