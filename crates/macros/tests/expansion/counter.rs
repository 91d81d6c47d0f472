impl Counter {
    #[allow(
        clippy::missing_errors_doc,
        clippy::needless_pass_by_value,
        clippy::ptr_arg,
        clippy::trivially_copy_pass_by_ref,
        clippy::unnecessary_wraps,
        clippy::unused_async,
        clippy::unused_self,
        reason = "a message owns what it carries, `init` is lent what it is given"
    )]
    fn init(start: &u64) -> Self {
        Self { n: *start }
    }
    /// The count.
    #[allow(
        clippy::missing_errors_doc,
        clippy::needless_pass_by_value,
        clippy::ptr_arg,
        clippy::trivially_copy_pass_by_ref,
        clippy::unnecessary_wraps,
        clippy::unused_async,
        clippy::unused_self,
        reason = "a message owns what it carries, `init` is lent what it is given"
    )]
    fn get(&self) -> u64 {
        self.n
    }
    /// Counts on.
    #[allow(
        clippy::missing_errors_doc,
        clippy::needless_pass_by_value,
        clippy::ptr_arg,
        clippy::trivially_copy_pass_by_ref,
        clippy::unnecessary_wraps,
        clippy::unused_async,
        clippy::unused_self,
        reason = "a message owns what it carries, `init` is lent what it is given"
    )]
    fn add(&mut self, n: u64) {
        self.n += n;
    }
    #[allow(
        clippy::missing_errors_doc,
        clippy::needless_pass_by_value,
        clippy::ptr_arg,
        clippy::trivially_copy_pass_by_ref,
        clippy::unnecessary_wraps,
        clippy::unused_async,
        clippy::unused_self,
        reason = "a message owns what it carries, `init` is lent what it is given"
    )]
    async fn tick(&mut self, ctx: &mut Context<Self>) -> Step {
        Ok(Next::go())
    }
}
/// The calls of `Counter`, by the methods that handle them.
#[allow(
    private_bounds,
    private_interfaces,
    unreachable_pub,
    reason = "no more visible than its module"
)]
pub enum CounterCall {
    /// The count.
    Get(::restante::Reply<u64>),
}
#[allow(private_bounds, unreachable_pub, reason = "no more visible than its module")]
impl CounterCall {
    /// What the message is called in reports and traces: the method that handles it.
    #[inline]
    pub const fn name(&self) -> &'static str {
        match *self {
            Self::Get(..) => "get",
        }
    }
}
impl ::core::fmt::Debug for CounterCall {
    /// Its name; never what it carries.
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.write_str(self.name())
    }
}
/// The casts of `Counter`, by the methods that handle them.
#[allow(
    private_bounds,
    private_interfaces,
    unreachable_pub,
    reason = "no more visible than its module"
)]
pub enum CounterCast {
    /// Counts on.
    Add(u64),
}
#[allow(private_bounds, unreachable_pub, reason = "no more visible than its module")]
impl CounterCast {
    /// What the message is called in reports and traces: the method that handles it.
    #[inline]
    pub const fn name(&self) -> &'static str {
        match *self {
            Self::Add(..) => "add",
        }
    }
}
impl ::core::fmt::Debug for CounterCast {
    /// Its name; never what it carries.
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.write_str(self.name())
    }
}
/// The infos of `Counter`, by the methods that handle them.
#[allow(
    private_bounds,
    private_interfaces,
    unreachable_pub,
    reason = "no more visible than its module"
)]
pub enum CounterInfo {
    /// Handled by `tick`.
    Tick,
}
#[allow(private_bounds, unreachable_pub, reason = "no more visible than its module")]
impl CounterInfo {
    /// What the message is called in reports and traces: the method that handles it.
    #[inline]
    pub const fn name(&self) -> &'static str {
        match *self {
            Self::Tick => "tick",
        }
    }
}
impl ::core::fmt::Debug for CounterInfo {
    /// Its name; never what it carries.
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.write_str(self.name())
    }
}
impl ::restante::GenServer for Counter {
    type Args = u64;
    type Call = CounterCall;
    type Cast = CounterCast;
    type Info = CounterInfo;
    async fn init(
        args: &Self::Args,
        ctx: &mut ::restante::Context<Self>,
    ) -> ::core::result::Result<::restante::Init<Self>, ::restante::ExitReason> {
        let start = args;
        ctx.send_every(
            ::restante::Every::FixedRate(::core::time::Duration::from_millis(1000u64)),
            || CounterInfo::Tick,
        );
        ::restante::IntoInit::into_init(Self::init(start))
    }
    async fn handle_call(
        &mut self,
        message: Self::Call,
        _: &mut ::restante::Context<Self>,
    ) -> ::restante::Step {
        match message {
            CounterCall::Get(reply) => {
                reply.send(Self::get(self));
                ::core::result::Result::Ok(::restante::Next::go())
            }
        }
    }
    async fn handle_cast(
        &mut self,
        message: Self::Cast,
        _: &mut ::restante::Context<Self>,
    ) -> ::restante::Step {
        match message {
            CounterCast::Add(n) => {
                Self::add(self, n);
                ::core::result::Result::Ok(::restante::Next::go())
            }
        }
    }
    async fn handle_info(
        &mut self,
        message: Self::Info,
        ctx: &mut ::restante::Context<Self>,
    ) -> ::restante::Step {
        match message {
            CounterInfo::Tick => {
                ::restante::IntoStep::into_step(Self::tick(self, ctx).await)
            }
        }
    }
    #[inline]
    fn call_name(message: &Self::Call) -> &'static str {
        message.name()
    }
    #[inline]
    fn cast_name(message: &Self::Cast) -> &'static str {
        message.name()
    }
    #[inline]
    fn info_name(message: &Self::Info) -> &'static str {
        message.name()
    }
}
/// The calls and casts of `Counter`, as methods of every reference to it.
///
/// A `Call<'_, _, T, _>` is awaited, and gives a `Result<T, CallError>`.
#[allow(dead_code, reason = "written whole, whichever of it is wanted")]
#[allow(
    private_bounds,
    private_interfaces,
    unreachable_pub,
    reason = "no more visible than its module"
)]
pub trait CounterHandle {
    /// The count.
    ///
    /// Waits at most 5 s, unless `Call::timeout` says otherwise.
    ///
    /// # Errors
    /// `CallError`: why there is no reply.
    fn get(
        &self,
    ) -> ::restante::Call<
        '_,
        Counter,
        u64,
        impl ::core::ops::FnOnce(
            ::restante::Reply<u64>,
        ) -> CounterCall + ::core::marker::Send,
    >;
    /// [`get`](Self::get), waiting at most so long (`Duration::MAX`: for ever).
    ///
    /// # Errors
    /// `CallError`: why there is no reply.
    fn get_timeout(
        &self,
        limit: ::core::time::Duration,
    ) -> ::restante::Call<
        '_,
        Counter,
        u64,
        impl ::core::ops::FnOnce(
            ::restante::Reply<u64>,
        ) -> CounterCall + ::core::marker::Send,
    >;
    /// [`get`](Self::get), replied to at once or not at all.
    ///
    /// # Errors
    /// `CallError`: why there is no reply.
    fn try_get(
        &self,
    ) -> ::restante::Call<
        '_,
        Counter,
        u64,
        impl ::core::ops::FnOnce(
            ::restante::Reply<u64>,
        ) -> CounterCall + ::core::marker::Send,
    >;
    /// [`get`](Self::get), from a plain thread, waiting at most 5 s.
    ///
    /// # Errors
    /// `CallError`: why there is no reply.
    fn get_blocking(&self) -> ::core::result::Result<u64, ::restante::CallError>;
    /// [`get`](Self::get), sent now and waited for later.
    ///
    /// # Errors
    /// `CallError`: why there is no reply.
    fn get_request(&self) -> ::restante::Request<u64>;
    /// Counts on.
    ///
    /// Sent at once or not at all.
    ///
    /// # Errors
    /// `SendError`, with the message: why it was not taken.
    fn add(
        &self,
        n: u64,
    ) -> ::core::result::Result<(), ::restante::SendError<CounterCast>>;
    /// [`add`](Self::add), waiting for room.
    ///
    /// # Errors
    /// `SendError`, with the message: why it was not taken.
    fn send_add(
        &self,
        n: u64,
    ) -> impl ::core::future::Future<
        Output = ::core::result::Result<(), ::restante::SendError<CounterCast>>,
    > + ::core::marker::Send;
    /// [`add`](Self::add), waiting for room at most so long.
    ///
    /// # Errors
    /// `SendError`, with the message: why it was not taken.
    fn add_timeout(
        &self,
        n: u64,
        limit: ::core::time::Duration,
    ) -> impl ::core::future::Future<
        Output = ::core::result::Result<(), ::restante::SendError<CounterCast>>,
    > + ::core::marker::Send;
    /// [`add`](Self::add), from a plain thread, waiting for room as long as it takes.
    ///
    /// # Errors
    /// `SendError`, with the message: why it was not taken.
    fn add_blocking(
        &self,
        n: u64,
    ) -> ::core::result::Result<(), ::restante::SendError<CounterCast>>;
}
impl CounterHandle for ::restante::ServerRef<Counter> {
    #[inline]
    fn get(
        &self,
    ) -> ::restante::Call<
        '_,
        Counter,
        u64,
        impl ::core::ops::FnOnce(
            ::restante::Reply<u64>,
        ) -> CounterCall + ::core::marker::Send,
    > {
        ::restante::ServerRef::call(self, move |reply| CounterCall::Get(reply))
    }
    #[inline]
    fn get_timeout(
        &self,
        limit: ::core::time::Duration,
    ) -> ::restante::Call<
        '_,
        Counter,
        u64,
        impl ::core::ops::FnOnce(
            ::restante::Reply<u64>,
        ) -> CounterCall + ::core::marker::Send,
    > {
        CounterHandle::get(self).timeout(limit)
    }
    #[inline]
    fn try_get(
        &self,
    ) -> ::restante::Call<
        '_,
        Counter,
        u64,
        impl ::core::ops::FnOnce(
            ::restante::Reply<u64>,
        ) -> CounterCall + ::core::marker::Send,
    > {
        CounterHandle::get(self).timeout(::core::time::Duration::ZERO)
    }
    #[inline]
    fn get_blocking(&self) -> ::core::result::Result<u64, ::restante::CallError> {
        ::restante::ServerRef::call_blocking(self, move |reply| CounterCall::Get(reply))
    }
    #[inline]
    fn get_request(&self) -> ::restante::Request<u64> {
        ::restante::ServerRef::send_request(self, move |reply| CounterCall::Get(reply))
    }
    #[inline]
    fn add(
        &self,
        n: u64,
    ) -> ::core::result::Result<(), ::restante::SendError<CounterCast>> {
        ::restante::ServerRef::cast(self, CounterCast::Add(n))
    }
    #[inline]
    fn send_add(
        &self,
        n: u64,
    ) -> impl ::core::future::Future<
        Output = ::core::result::Result<(), ::restante::SendError<CounterCast>>,
    > + ::core::marker::Send {
        ::restante::ServerRef::send(self, CounterCast::Add(n))
    }
    #[inline]
    fn add_timeout(
        &self,
        n: u64,
        limit: ::core::time::Duration,
    ) -> impl ::core::future::Future<
        Output = ::core::result::Result<(), ::restante::SendError<CounterCast>>,
    > + ::core::marker::Send {
        ::restante::ServerRef::send_timeout(self, CounterCast::Add(n), limit)
    }
    #[inline]
    fn add_blocking(
        &self,
        n: u64,
    ) -> ::core::result::Result<(), ::restante::SendError<CounterCast>> {
        ::restante::ServerRef::send_blocking(
            self,
            CounterCast::Add(n),
            ::core::time::Duration::MAX,
        )
    }
}
