-- title: A query that is not finished
select channel,
from credits
where model =
