-- title:     Roles by channel
-- answers:   Does a channel begin journeys, help in between, close them, or stand alone?
-- inputs:    credits
-- output:    one row a channel, whatever the model: touches of counted orders by their role, the most
--            first
with one_model as (
    -- Every model sees the same touches; they are counted once.
    select min(model) as model
    from credits
),
lines as (
    select
        credits.channel,
        sum(case when credits.role = 'alone' then 1 else 0 end) as alone,
        sum(case when credits.role = 'initiator' then 1 else 0 end) as initiator,
        sum(case when credits.role = 'assisting' then 1 else 0 end) as assisting,
        sum(case when credits.role = 'closer' then 1 else 0 end) as closer,
        count(*) as touches
    from credits
    join one_model
        on credits.model = one_model.model
    where credits.role <> 'unattributed'
    group by credits.channel
)
select
    channel,
    touches,
    alone,
    initiator,
    assisting,
    closer,
    alone / touches as alone_ratio,
    initiator / touches as initiator_ratio,
    assisting / touches as assisting_ratio,
    closer / touches as closer_ratio
from lines
order by touches desc, channel
