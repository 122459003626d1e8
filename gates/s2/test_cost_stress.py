"""S2 cost stress: does the edge survive being wrong about costs, and does each stressor reach the number it is judged by?"""

from engines.statistics import newey_west_tstat_of_mean


def test_no_shard_is_a_clear_loser(shard_backtest, cost_multiplier, evidence):
    """t-statistic of the mean net return clears the floor in every shard at every multiplier."""
    net = shard_backtest.net_returns(cost_multiplier)  # (days,) decimal
    note = f"nothing is left at {shard_backtest.break_even_multiplier:.2f} times the costs"
    assert evidence("s2.shard_net_t", newey_west_tstat_of_mean(net), n_obs=net.size, note=note)


def test_each_stressor_moves_what_it_must(shard_stress, evidence):
    """Higher cost lowers net, a stricter universe rejects names, a longer delay changes fills: a stress that moves nothing proves nothing."""
    cost = evidence("s2.stress_bites.cost", shard_stress.cost_drag_bps, n_obs=shard_stress.n_days)
    universe = evidence("s2.stress_bites.universe", shard_stress.rejected_name_days, n_obs=shard_stress.n_days)
    delay = evidence("s2.stress_bites.delay", shard_stress.changed_fill_ratio, n_obs=shard_stress.n_fills)
    assert cost
    assert universe
    assert delay
