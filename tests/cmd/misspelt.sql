-- title: A misspelt column
select chanel, sum(amount) as amount
from credits
group by chanel
order by chanel
