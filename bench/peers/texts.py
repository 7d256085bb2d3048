"""What every runtime is given: chat lines, and texts of an exact number of tokens."""

LINES = """omg thank you so much, you have no idea how much this helped me
ok
i'm not even mad, i'm just disappointed that nobody told me earlier
wait what? when did that happen
Happy birthday!! Hope you have an amazing day, you deserve all of it and more
lol no way
That is honestly one of the most frustrating things I've dealt with this week, and I have two toddlers at home.
can you send me the file again? the link is broken
I miss her every single day and some mornings I still reach for the phone to call.
nice
This is ridiculous. Three weeks of waiting and they sent the wrong size. Again. I want my money back.
so proud of you!
I don't know how I feel about it yet, maybe ask me tomorrow when I've slept on it
great, another meeting that could have been an email
She said yes!!! I can't stop smiling, my hands are still shaking while I type this
sorry for your loss, sending hugs
idk man
Does anybody here know whether the 9:40 train still stops at the old station or only at the new one?
I was scared the whole way down but I would do it again in a heartbeat
yuck, who puts pineapple on that
It is raining and the cat is asleep on my notes.
You should really apologise to him, what you said was out of line and everybody in the room heard it.
thanks
not gonna lie I did not see that ending coming, what a film
I can't do this anymore. I'm so tired of pretending that everything is fine when it is not.
The package arrived on Tuesday.
we lost in the last minute and I'm gutted, but what a game, credit to both teams
Could be worse :)
My grandmother taught me this recipe when I was six and I have made it every winter since.
why would you even say that
I love how the light comes through the kitchen window in the morning, it makes the whole day better.
no worries, take your time and let me know if you need anything""".splitlines()

LENGTHS = (16, 32, 128, 512)


def cases(tokenizer):
    """Name -> list of texts as ids, template tokens included. All lengths are exact; the batch is the lines."""
    lines = [tokenizer(line)["input_ids"] for line in LINES]
    first, last = lines[0][0], lines[0][-1]
    stream = [token for _ in range(4) for line in lines for token in line[1:-1]]
    out = {str(n): [[first, *stream[: n - 2], last]] for n in LENGTHS}
    out["32 lines"] = lines
    return out
