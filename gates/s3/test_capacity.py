"""S3 capacity: do the orders fit the market they are sent to?"""


def test_orders_are_small_against_the_market(risk, evidence):
    """Order over average daily dollar volume at the target AUM, over all out-of-sample trades."""
    typical = evidence("s3.participation.median", risk.participation_median, n_obs=risk.n_trades)
    large = evidence("s3.participation.p95", risk.participation_p95, n_obs=risk.n_trades)
    assert typical
    assert large


def test_there_is_room_to_grow(risk, evidence):
    """The AUM at which square-root impact has halved the net Sharpe, over the target AUM."""
    assert evidence("s3.capacity", risk.capacity_ratio, n_obs=risk.n_days)
